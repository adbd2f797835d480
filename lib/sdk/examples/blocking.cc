// SPDX-License-Identifier: BSD-3-Clause
// One operation at a time, and several in one go.
//
//   c++ -std=c++17 blocking.cc $(pkg-config --cflags --libs dinomo-client) -o blocking
#include <dinomo/client.h>

#include <iostream>

int main(int argc, char** argv) try {
  dinomo::Client client(argc > 1 ? argv[1] : nullptr);

  if (dinomo::Result stored = client.put("sky", "blue", {/*ttl_ms=*/60'000, /*item_flags=*/7});
      !stored) {
    std::cerr << "put: " << stored.reason() << '\n';
    return 1;
  }
  const dinomo::Result sky = client.get("sky");
  std::cout << "sky = " << sky.value << ", flags " << sky.item_flags << '\n';

  // A mixed batch travels together. Nothing orders its parts: they are about different keys.
  using namespace dinomo;
  const auto results =
      client.call_many({op::put("grass", "green"), op::get("sky"), op::get("snow")});
  for (const Result& r : results)
    std::cout << dinomo_status_name(r.status) << ' ' << r.value << '\n';

  // Change it only if nobody else has since it was read.
  const bool changed = client.cas("sky", sky.version, "grey").ok();
  const bool too_late = client.cas("sky", sky.version, "black").status == DINOMO_EXISTS;

  client.remove("sky");
  client.remove("grass");
  const bool gone = client.get("sky").status == DINOMO_NOT_FOUND;
  return sky.value == "blue" && results[1].value == "blue" && changed && too_late && gone ? 0 : 1;
} catch (const dinomo::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
