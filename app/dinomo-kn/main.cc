// SPDX-License-Identifier: BSD-3-Clause
// dinomo-kn [EAL arguments] -- [options]
#include <rte_eal.h>
#include <rte_errno.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "app/common/reload.h"
#include "app/dinomo-kn/kn_app.h"

namespace {

dinomo::app::KnApp* g_app = nullptr;  // for the signal handler

void on_signal(int) { g_app->request_stop(); }
void on_hangup(int) { g_app->request_reload(); }
void on_crash(dinomo::app::CrashWriter& to) noexcept {
  if (g_app != nullptr) g_app->dump_for_crash(to);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dinomo::app;
  SplitArguments arguments = split_eal_args(argc, argv);
  KnOptions options;
  OptionTable table("dinomo-kn",
                    "The Dinomo appliance: serves keys to clients over UDP from memory and from a "
                    "disaggregated persistent pool.");
  table.takes_eal_arguments();
  add_kn_options(table, &options);
  if (const auto status =
          table.parse(static_cast<int>(arguments.own.size()), arguments.own.data())) {
    return *status;
  }
  start_logging(options.log);
  install_crash_dump("dinomo-kn", on_crash);
  if (rte_eal_init(static_cast<int>(arguments.eal.size()), arguments.eal.data()) < 0) {
    std::fprintf(stderr,
                 "dinomo-kn: the EAL does not start (%s). Without hugepages add --no-huge -m 512 "
                 "before `--`; see its own message above.\n",
                 rte_strerror(rte_errno));
    return 1;
  }
  int status = 1;
  {
    KnApp app(options);
    std::string why;
    if (app.prepare(&why)) {
      g_app = &app;
      std::signal(SIGINT, on_signal);
      std::signal(SIGTERM, on_signal);
      std::signal(SIGHUP, on_hangup);
      app.on_reload([&] {
        KnOptions wanted;
        OptionTable fresh("dinomo-kn", "");
        fresh.takes_eal_arguments();
        add_kn_options(fresh, &wanted);
        if (!reread_options(&fresh, arguments.own)) return;
        log_reload(table, fresh, KnApp::kAtRunTime);
        options.log = wanted.log;
        options.slow_us = wanted.slow_us;
        options.warm_s = wanted.warm_s;
        app.apply(wanted);
      });
      status = app.run();
    } else {
      std::fprintf(stderr, "dinomo-kn: %s\n", why.c_str());
    }
  }
  g_app = nullptr;
  rte_eal_cleanup();
  return status;
}
