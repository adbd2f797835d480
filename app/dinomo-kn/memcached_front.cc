// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-kn/memcached_front.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace dinomo::app {

namespace {

constexpr uint32_t kErrandsMax = 256;
// Clients and tools judge by the number what a server understands: it is that of the memcached
// whose commands are served.
constexpr std::string_view kVersion = "1.6.18-dinomo-" DINOMO_VERSION;
static_assert(memcached::UdpServer::kSlots <= kErrandsMax && MemcachedTcp::kSlots <= kErrandsMax);

}  // namespace

bool MemcachedFront::ErrandBell::arm() noexcept {
  bell_.arm();
  return hand_over_.empty(place_);
}

void MemcachedFront::ErrandBell::disarm() noexcept {
  bell_.disarm();
  eventfd_t rung = 0;
  eventfd_read(bell_.descriptor(), &rung);
}

std::unique_ptr<MemcachedFront> MemcachedFront::create(
    const KnOptions& options, std::vector<std::unique_ptr<kn::Worker>>* workers,
    ingress::Ingress* ingress, Clock* clock, const kn::Shared* shared, std::string* why) {
  std::unique_ptr<MemcachedFront> front(new MemcachedFront());
  const auto count = static_cast<uint16_t>(workers->size());
  front->clock_ = clock;
  front->began_ns_ = clock->now_ns();
  front->shared_ = shared;
  front->hand_over_ = kn::HandOver::create(count, static_cast<uint16_t>(count + 1), kErrandsMax);
  if (!front->hand_over_) {
    *why = "out of memory";
    return nullptr;
  }
  memcached::ServerConfig config;
  config.networks = *ingress::NetworkList::parse(options.memcached_networks, why);
  config.version = kVersion;
  config.stats = [f = front.get()](char* out, size_t capacity) {
    return f->write_stats(out, capacity);
  };
  for (uint16_t w = 0; w < count; ++w) {
    kn::Worker* const worker = (*workers)[w].get();
    auto& bell =
        front->bells_.emplace_back(std::make_unique<ErrandBell>(front->hand_over_.get(), w));
    front->hand_over_->set_waker(w, bell.get());
    auto& desk = front->desks_.emplace_back(
        std::make_unique<kn::ErrandDesk>(front->hand_over_.get(), w, worker));
    worker->set_front_end(desk.get(), options.memcached_port);
    if (options.memcached_port == 0) continue;
    auto& server = front->servers_.emplace_back(
        std::make_unique<memcached::UdpServer>(config, desk.get(), &ingress->queue(w)));
    front->counters_.push_back(&server->counters());
  }
  if (options.memcached_tcp.empty()) return front;
  front->control_desk_ = std::make_unique<kn::ErrandDesk>(front->hand_over_.get(), count, clock);
  front->tcp_ = std::make_unique<MemcachedTcp>(config, front->control_desk_.get());
  front->hand_over_->set_waker(count, front->tcp_.get());
  front->counters_.push_back(&front->tcp_->counters());
  return front->tcp_->listen(options.memcached_tcp, why) ? std::move(front) : nullptr;
}

void MemcachedFront::wait(uint32_t timeout_us) noexcept {
  if (tcp_) {
    tcp_->wait(timeout_us);
  } else {
    ::usleep(timeout_us);
  }
}

size_t MemcachedFront::write_stats(char* out, size_t capacity) const noexcept {
  const memcached::StatsFacts facts{.pid = static_cast<uint64_t>(::getpid()),
                                    .uptime_s = (clock_->now_ns() - began_ns_) / 1'000'000'000,
                                    .unix_s = clock_->unix_ms() / 1000,
                                    .version = kVersion};
  return memcached::write_stats(facts, counters_, shared_->stats, out, capacity);
}

}  // namespace dinomo::app
