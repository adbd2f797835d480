// SPDX-License-Identifier: BSD-3-Clause
// What dinomo-dpm answers about itself. The service belongs to one thread: whoever asks waits until
// that thread has left fresh figures, at most kPatienceMs, and then takes the last ones.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "app/common/telemetry.h"
#include "app/dinomo-dpm/cluster_answers.h"
#include "app/dinomo-dpm/stats_file.h"
#include "dpm/service.h"
#include "pool/space.h"

namespace dinomo::app {

class DpmTelemetry final : public Observed {
 public:
  static constexpr int kPatienceMs = 200;
  static constexpr uint64_t kLiveNs =
      5'000'000'000;  // a service that has not turned for longer hangs

  DpmTelemetry(const Identity& identity, pool::Space* space)
      : identity_(identity), space_(*space) {}

  /// Service thread, every turn. Costs two loads and a store while nobody asks.
  void follow(dpm::Service& service, uint64_t now_ns) {
    turned_ns_.store(now_ns, std::memory_order_relaxed);
    if (asked_.load(std::memory_order_relaxed)) publish(service);
  }
  /// Service thread: from now on it only ends what is under way.
  void stopping() noexcept { stopping_.store(true); }

  nlohmann::json info() override;
  Health health() override;
  std::vector<MetricRow> metrics() const override;
  nlohmann::json stats(std::string_view part) override;
  std::vector<TelemetryCommand> own_commands() const override { return cluster_commands(); }
  nlohmann::json answer_own(std::string_view command, std::string_view parameter) override;

 private:
  using Question = std::function<nlohmann::json(dpm::Service&)>;

  void publish(dpm::Service& service);
  dpm::ServiceStats fresh();
  /// Has the service thread answer it; null if that does not come to it.
  nlohmann::json on_service_thread(Question question);

  const Identity identity_;
  pool::Space& space_;
  std::atomic<uint64_t> turned_ns_{0};
  std::atomic<bool> asked_{false};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable published_;
  uint64_t publications_ = 0;
  dpm::ServiceStats last_;
  Question question_;  // empty: none
  nlohmann::json answer_;
};

}  // namespace dinomo::app
