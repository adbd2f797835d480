// SPDX-License-Identifier: BSD-3-Clause
// A CUnit suite of the project itself: the wire codec, seen through the C-style API.
#include <CUnit/Basic.h>

#include <array>

#include "wire/codec.h"

namespace {

using namespace dinomo;        // NOLINT(google-build-using-namespace)
using namespace dinomo::wire;  // NOLINT(google-build-using-namespace)

alignas(8) std::array<std::byte, kDatagramBytesMax> buffer;
size_t datagram_bytes = 0;

DatagramHeader request_header() {
  DatagramHeader h{};
  h.magic = kMagic;
  h.version = kVersion;
  h.kind = static_cast<uint8_t>(Kind::kRequest);
  h.session = 7;
  return h;
}

MessageHeader message(Opcode op, uint64_t sequence) {
  MessageHeader m{};
  m.opcode = static_cast<uint8_t>(op);
  m.sequence = sequence;
  return m;
}

int build_datagram() {
  Writer writer(buffer, request_header());
  const bool fits =
      writer.append(message(Opcode::kPut, 1), {}, as_bytes("key"), as_bytes("value")) &&
      writer.append(message(Opcode::kGet, 2), {}, as_bytes("key"), {});
  datagram_bytes = writer.finish().size();
  return fits ? 0 : 1;
}

void reads_back() {
  Reader reader(Bytes(buffer).first(datagram_bytes), Kind::kRequest);
  CU_ASSERT_EQUAL(reader.header().session, 7);
  CU_ASSERT_EQUAL_FATAL(reader.messages_left(), 2);
  Message m;
  CU_ASSERT_FATAL(reader.next(&m));
  CU_ASSERT_EQUAL(m.opcode(), Opcode::kPut);
  CU_ASSERT_NSTRING_EQUAL(m.key.data(), "key", m.key.size());
  CU_ASSERT_NSTRING_EQUAL(m.value.data(), "value", m.value.size());
  CU_ASSERT_FATAL(reader.next(&m));
  CU_ASSERT_EQUAL(m.header.sequence, 2);
  CU_ASSERT(m.value.empty());
  CU_ASSERT_FALSE(reader.next(&m));
  CU_ASSERT_EQUAL(reader.error(), ReadError::kNone);
}

void refuses_every_truncation() {
  for (size_t bytes = 0; bytes < datagram_bytes; ++bytes) {
    Reader reader(Bytes(buffer).first(bytes), Kind::kRequest);
    Message m;
    while (reader.next(&m)) {
    }
    CU_ASSERT_NOT_EQUAL(reader.error(), ReadError::kNone);
  }
}

void names_every_opcode_and_status() {
  CU_ASSERT_STRING_EQUAL(opcode_name(Opcode::kGetAndTouch), "get-and-touch");
  CU_ASSERT_STRING_EQUAL(wire::status_name(wire::Status::kWrongOwner), "wrong-owner");
}

CU_TestInfo tests[] = {{"reads back", reads_back},
                       {"refuses every truncation", refuses_every_truncation},
                       {"names every opcode and status", names_every_opcode_and_status},
                       CU_TEST_INFO_NULL};
CU_SuiteInfo suites[] = {{"wire", build_datagram, nullptr, nullptr, nullptr, tests},
                         CU_SUITE_INFO_NULL};

}  // namespace

int main() {
  if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
    return CU_get_error();
  }
  CU_basic_set_mode(CU_BRM_VERBOSE);
  CU_basic_run_tests();
  const unsigned failures = CU_get_number_of_failure_records();
  CU_cleanup_registry();
  return failures == 0 ? 0 : 1;
}
