// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/wait.h"

#include <dirent.h>
#include <linux/if_packet.h>
#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "drivers/ingress/ethdev/queue.h"

namespace dinomo::ingress::ethdev {

namespace {

constexpr int kEventsMax = 8;
// A worker whose transmit queue stays full is kept awake this many times, then sleeps anyway: its
// peer may be gone, and every wake-up tries again.
constexpr uint16_t kRefusalsMax = 64;

void watch(int epoll, int descriptor, uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.fd = descriptor;
  epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);  // EEXIST: it is watched already
}

bool bound_to(int socket, int if_index) noexcept {
  sockaddr_ll address{};
  socklen_t bytes = sizeof address;
  return getsockname(socket, reinterpret_cast<sockaddr*>(&address), &bytes) == 0 &&
         address.sll_ifindex == if_index;
}

}  // namespace

Bell::Bell() noexcept : eventfd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Bell::~Bell() {
  if (eventfd_ >= 0) close(eventfd_);
}

void Bell::arm() noexcept {
  asleep_.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Bell::disarm() noexcept { asleep_.store(0, std::memory_order_relaxed); }

void Bell::ring() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_relaxed) == 0) return;
  if (asleep_.exchange(0, std::memory_order_relaxed) == 1) eventfd_write(eventfd_, 1);
}

std::vector<int> sockets_of(int domain, int if_index) {
  std::vector<int> found;
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    const int descriptor = std::atoi(entry->d_name);  // "." and ".." give 0: asked like any other
    int its_domain = 0;
    socklen_t bytes = sizeof its_domain;
    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &its_domain, &bytes) != 0) continue;
    if (its_domain != domain || (if_index > 0 && !bound_to(descriptor, if_index))) continue;
    found.push_back(descriptor);
  }
  closedir(directory);
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  return found;
}

EthWait::EthWait() noexcept : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

EthWait::~EthWait() {
  if (epoll_ >= 0) close(epoll_);
}

void EthWait::attach(EthQueue* queue, uint16_t port_id, int rx_queue, int socket,
                     Interrupt interrupt, bool blind) noexcept {
  queue_ = queue;
  port_id_ = port_id;
  rx_queue_ = rx_queue;
  socket_ = socket;
  interrupt_ = interrupt;
  blind_ = blind || epoll_ < 0;
  // Edge-triggered, because then nobody has to read a counter down; the packet socket is
  // level-triggered, because its level is exactly "frames lie in the ring".
  watch(epoll_, queue->bell().descriptor(), EPOLLIN | EPOLLET);
  if (socket_ >= 0) watch(epoll_, socket_, EPOLLIN);
}

bool EthWait::watch_interrupt() noexcept {
  // Asked every time: a port whose peer reconnects gets a new descriptor.
  const int descriptor =
      rte_eth_dev_rx_intr_ctl_q_get_fd(port_id_, static_cast<uint16_t>(rx_queue_));
  if (descriptor < 0) return false;
  const bool level = interrupt_ == Interrupt::kLevel;
  watch(epoll_, descriptor, level ? EPOLLIN : EPOLLIN | EPOLLET);
  return level || rte_eth_dev_rx_intr_enable(port_id_, static_cast<uint16_t>(rx_queue_)) == 0;
}

void EthWait::drain() noexcept {
  std::array<epoll_event, kEventsMax> events{};
  const int n = epoll_wait(epoll_, events.data(), kEventsMax, 0);
  for (int i = 0; i < n; ++i) {
    if ((events[i].events & EPOLLERR) == 0 || events[i].data.fd != socket_) continue;
    int error = 0;  // reading it clears it; a netdev that went down leaves one
    socklen_t bytes = sizeof error;
    getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &bytes);
  }
}

bool EthWait::arm() noexcept {
  if (queue_->transmit_pending() && refusals_ < kRefusalsMax) {
    ++refusals_;
    return false;
  }
  refusals_ = 0;
  drain();
  if (interrupt_ != Interrupt::kNone && !watch_interrupt()) return false;
  queue_->bell().arm();
  return true;
}

void EthWait::disarm() noexcept {
  queue_->bell().disarm();
  if (interrupt_ == Interrupt::kArmed) {
    rte_eth_dev_rx_intr_disable(port_id_, static_cast<uint16_t>(rx_queue_));
  }
}

}  // namespace dinomo::ingress::ethdev
