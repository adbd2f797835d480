// SPDX-License-Identifier: BSD-3-Clause
// Many operations in flight: submit, flush, poll. A callback may submit the next operation.
//
//   c++ -std=c++17 async.cc $(pkg-config --cflags --libs dinomo-client) -o async
#include <dinomo/client.h>

#include <iostream>
#include <stdexcept>

namespace {

constexpr unsigned kItems = 1000;

/// Stores an item and, when that is done, reads it back.
void write_then_read(dinomo::Client& client, unsigned i, unsigned& right) {
  const std::string key = "item" + std::to_string(i);
  const std::string value = "value " + std::to_string(i);
  const auto stored = [&client, &right, key, value](const dinomo_result& put) {
    if (put.status != DINOMO_OK) throw std::runtime_error(dinomo_status_text(put.status));
    client.submit(dinomo::op::get(key), [&right, value](const dinomo_result& got) {
      if (got.status == DINOMO_OK && dinomo::value_of(got) == value) ++right;
    });
  };
  // The library copies key and value. With in_flight_max operations out it asks to wait.
  while (client.submit(dinomo::op::put(key, value), stored) == DINOMO_FULL) client.poll(-1);
}

}  // namespace

int main(int argc, char** argv) try {
  dinomo::Client client(argc > 1 ? argv[1] : nullptr);
  unsigned right = 0;
  for (unsigned i = 0; i < kItems; ++i) write_then_read(client, i, right);
  while (client.in_flight() != 0) client.poll(-1);  // flushes, too
  std::cout << right << " of " << kItems << " read back\n";
  return right == kItems ? 0 : 1;
} catch (const std::exception& error) {  // no server, or what a callback threw
  std::cerr << error.what() << '\n';
  return 1;
}
