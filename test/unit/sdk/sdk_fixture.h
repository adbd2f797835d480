// SPDX-License-Identifier: BSD-3-Clause
// A client of the C interface and a pretended cluster for it.
#pragma once

#include <dinomo/dinomo.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "mini_server.h"

namespace dinomo::test {

inline std::string_view value_of(const dinomo_result& r) {
  return {static_cast<const char*>(r.value), r.value_bytes};
}

inline dinomo_operation operation(dinomo_opcode opcode, std::string_view key,
                                  std::string_view value = {}) {
  dinomo_operation op{};
  op.opcode = opcode;
  op.key = key.data();
  op.key_bytes = key.size();
  op.value = value.data();
  op.value_bytes = value.size();
  return op;
}

class SdkTest : public ::testing::Test {
 protected:
  ~SdkTest() override { dinomo_close(client_); }

  dinomo_client* open(dinomo_options options = {}) {
    dinomo_close(client_);
    EXPECT_EQ(dinomo_open(server_.address().c_str(), &options, &client_), DINOMO_OK)
        << dinomo_open_error();
    return client_;
  }
  uint64_t counter(std::string_view name) const {
    for (size_t i = 0; dinomo_counter_name(i) != nullptr; ++i) {
      if (dinomo_counter_name(i) == name) return dinomo_counter(client_, i);
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }

  MiniServer server_{{.kns = 2, .workers = 2}};
  dinomo_client* client_ = nullptr;
};

}  // namespace dinomo::test
