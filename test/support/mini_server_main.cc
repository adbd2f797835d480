// SPDX-License-Identifier: BSD-3-Clause
// The pretended KN as a process, to try the client programs by hand: mini_server [WORKERS].
// Prints its address and serves until standard input ends.
#include <cstdio>
#include <cstdlib>

#include "mini_server.h"

int main(int argc, char** argv) {
  dinomo::test::MiniOptions options;
  if (argc > 1) options.workers = static_cast<uint32_t>(std::atoi(argv[1]));
  dinomo::test::MiniServer server(options);
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  const auto counts = server.counts();
  std::printf("%llu requests, %.0f ns of CPU each\n",
              static_cast<unsigned long long>(counts.requests),
              static_cast<double>(counts.busy_ns) / static_cast<double>(counts.requests + 1));
}
