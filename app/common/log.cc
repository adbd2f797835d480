// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/log.h"

#include <pthread.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <memory>

#include "app/common/options.h"

namespace dinomo::app {

namespace {

constexpr size_t kNameChars = 15;  // what the kernel keeps of a thread's name

std::string& thread_name() {
  thread_local std::string name;
  return name;
}

/// %* in the pattern: "worker0: ", or nothing for a thread without a name.
class ThreadName : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& /*message*/, const std::tm& /*time*/,
              spdlog::memory_buf_t& to) override {
    const std::string& name = thread_name();
    if (name.empty()) return;
    to.append(name.data(), name.data() + name.size());
    to.push_back(':');
    to.push_back(' ');
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<ThreadName>();
  }
};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void add_log_options(OptionTable& table, LogOptions* options) {
  table.group("Logging");
  table.add("log_level", &options->level,
            {.values = {{"debug", LogLevel::kDebug},
                        {"info", LogLevel::kInfo},
                        {"warning", LogLevel::kWarning},
                        {"error", LogLevel::kError}},
             .help = "least severe messages to print on stderr"});
}

void start_logging(const LogOptions& options) {
  auto logger =
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<ThreadName>('*').set_pattern("%Y-%m-%d %H:%M:%S.%f %l %*%v");
  logger->set_formatter(std::move(formatter));
  logger->set_level(spdlog_level(options.level));
  logger->flush_on(spdlog::level::debug);  // readers wait for lines
  spdlog::set_default_logger(std::move(logger));
}

void set_log_level(LogLevel level) { spdlog::default_logger()->set_level(spdlog_level(level)); }

void set_log_thread_name(const std::string& name) {
  thread_name() = name.substr(0, kNameChars);
  // The main thread's name is the program's name in ps and pgrep: left alone.
  if (getpid() != gettid()) pthread_setname_np(pthread_self(), thread_name().c_str());
}

}  // namespace dinomo::app
