// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/rdma_target.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dinomo::fabric::rdma {

namespace {

constexpr size_t kConnectionsMax = 1024;
constexpr int kReopenMs = 500;                // while the device is gone
constexpr int kGoingMs = 20;                  // while it goes
constexpr uint32_t kMessageTimeoutMs = 1000;  // never waited for: messages are read when whole
constexpr int kTargetCqes = 16;               // the DPM's ends post nothing
constexpr uint32_t kRemoteRights =
    IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
// Never IBV_ACCESS_RELAXED_ORDERING: chained writes and the flush by reading depend on order.
constexpr uint32_t kPoolRights = kRemoteRights | IBV_ACCESS_LOCAL_WRITE;

/// Where the pool lies for KNs: the same at every start, and with the offset in large pages that
/// the mapping has, so that the device can use large pages too.
uint64_t remote_address_of(MutableBytes memory) noexcept {
  constexpr uint64_t kBase = uint64_t{1} << 40;
  constexpr uint64_t kGigabyte = uint64_t{1} << 30;
  return kBase + reinterpret_cast<uintptr_t>(memory.data()) % kGigabyte;
}

std::string explain_registration(const PoolExport& pool, int error) {
  std::string text = "the pool '" + pool.path +
                     "' cannot be registered with the device: " + std::strerror(error) + ". ";
  if (error == ENOMEM) return text + "Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)";
  return text +
         "A file on a disk or on fsdax cannot be pinned for RDMA without on-demand paging; " +
         "put the pool on devdax, hugetlbfs or tmpfs";
}

}  // namespace

Result<std::unique_ptr<Target>> RdmaTarget::listen(const DataPlane& plane,
                                                   const std::string& address,
                                                   const PoolExport& pool, std::string* why) {
  if (pool.persistence == pool::Persistence::kMsync) {
    *why =
        "persistence msync needs the CPU for every write, a NIC cannot do it: use fabric shm, or "
        "a pool on devdax";
    return std::unexpected(Status::kUnsupported);
  }
  auto port = open_port(pool.device, plane.fits, why);
  if (!port) return std::unexpected(port.error());
  // Tried once here, so that a pool that cannot be registered is refused at the start.
  const ProtectionDomain pd(::ibv_alloc_pd(port->context.get()));
  const MemoryRegion region(pd ? ::ibv_reg_mr_iova(pd.get(), pool.memory.data(), pool.memory.size(),
                                                   remote_address_of(pool.memory), kPoolRights)
                               : nullptr);
  if (!region) {
    *why = explain_registration(pool, errno);
    return std::unexpected(Status::kUnsupported);
  }
  auto listener = listen_on(address, why);
  if (!listener) return std::unexpected(listener.error());
  FileDescriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) {
    *why = std::string("no eventfd: ") + std::strerror(errno);
    return std::unexpected(Status::kInternal);
  }
  auto target = std::make_unique<RdmaTarget>(plane, std::move(*port), pool, std::move(*listener),
                                             std::move(wake));
  if (pool.pair_setup != PairSetup::kExchange) {
    const Status s = target->offer_cm(why);
    if (!ok(s) && pool.pair_setup == PairSetup::kRdmacm) return std::unexpected(s);
  }
  target->start();
  return target;
}

RdmaTarget::RdmaTarget(const DataPlane& plane, Port port, const PoolExport& pool,
                       FileDescriptor listener, FileDescriptor wake)
    : plane_(plane),
      port_(std::move(port)),
      pool_(pool),
      remote_address_(remote_address_of(pool.memory)),
      listener_(std::move(listener)),
      wake_(std::move(wake)) {}

Status RdmaTarget::offer_cm(std::string* why) {
  auto made = CmListener::listen(listener_.get(), port_, why);
  if (!made) return made.error();
  cm_.emplace(std::move(*made));
  return Status::kOk;
}

RdmaTarget::~RdmaTarget() {
  stop_.store(true);
  ::eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
  for (auto& connection : connections_) cut_off(*connection);
}

uint32_t RdmaTarget::poll() noexcept { return events_.exchange(0); }

bool RdmaTarget::connected(uint16_t kn_slot) noexcept {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(connections_,
                             [&](const auto& c) { return c->kn_slot == kn_slot && !c->doomed; });
}

// A slot is given to one connection at a time, and to the next only after cut_off().
Status RdmaTarget::revoke(uint16_t) noexcept { return Status::kOk; }

Status RdmaTarget::fence(uint16_t kn_slot) noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& c : connections_) {
    if (c->kn_slot != kn_slot || c->doomed) continue;
    cut_off(*c);
    c->doomed = true;
  }
  ::eventfd_write(wake_.get(), 1);
  return Status::kOk;
}

/// The order matters: no new access, then nothing under way, then nothing that could still land.
/// Deregistering is the step of which the kernel promises that DMA in progress has ended.
void RdmaTarget::cut_off(Connection& connection) noexcept {
  if (connection.region) {
    ::ibv_rereg_mr(connection.region.get(), IBV_REREG_MR_CHANGE_ACCESS, nullptr, nullptr, 0,
                   IBV_ACCESS_LOCAL_WRITE);
  }
  for (const QueuePair& pair : connection.pairs) {
    if (pair) stop_pair(pair.get());
  }
  connection.region.reset();
  connection.pairs.clear();
  connection.links.clear();
}

void RdmaTarget::wait() noexcept {
  std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  if (cm_) waiting.push_back({cm_->descriptor(), POLLIN, 0});
  for (const auto& c : connections_) waiting.push_back({c->socket.get(), POLLIN, 0});
  int timeout_ms = -1;
  if (!port_.context) {
    timeout_ms = kReopenMs;
  } else {
    waiting.push_back({port_.context->async_fd, POLLIN, 0});
    if (port_.failed) timeout_ms = kGoingMs;
  }
  ::poll(waiting.data(), waiting.size(), timeout_ms);
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
}

void RdmaTarget::run() noexcept {
  while (!stop_.load()) {
    wait();
    if (port_.context && port_.gone()) lose_device();
    if (!port_.context) try_reopen();
    accept_waiting();
    if (cm_) serve_cm();
    for (size_t i = 0; i < connections_.size();) {
      Connection& c = *connections_[i];
      if (!c.doomed && serve(c)) {
        ++i;
        continue;
      }
      const std::lock_guard lock(mutex_);
      cut_off(c);
      connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(i));
      events_.fetch_add(1);
    }
  }
}

/// What KNs had is void with it; they come back by themselves.
void RdmaTarget::lose_device() noexcept {
  {
    const std::lock_guard lock(mutex_);
    for (auto& c : connections_) cut_off(*c);
    connections_.clear();
  }
  cm_.reset();
  pool_.warn("device " + port_.device + " was taken out: no KN is served until it is back");
  port_ = Port{};
  events_.fetch_add(1);
}

void RdmaTarget::try_reopen() noexcept {
  std::string why;
  auto port = open_port(pool_.device, plane_.fits, &why);
  Status status = port ? Status::kOk : port.error();
  if (ok(status)) {
    port_ = std::move(*port);
    if (pool_.pair_setup != PairSetup::kExchange) status = offer_cm(&why);
    if (pool_.pair_setup != PairSetup::kRdmacm) status = Status::kOk;
  }
  if (ok(status)) {
    complaint_.clear();
    pool_.warn("device " + port_.device + " is back");
    return;
  }
  port_ = Port{};
  if (why != complaint_) pool_.warn(why);
  complaint_ = why;
}

void RdmaTarget::accept_waiting() noexcept {
  while (true) {
    FileDescriptor socket(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (connections_.size() == kConnectionsMax) continue;  // closes it
    tune_socket(socket.get());
    wake_for(socket.get(), sizeof(HelloMessage));
    auto connection = std::make_unique<Connection>();
    connection->socket = std::move(socket);
    const std::lock_guard lock(mutex_);
    connections_.push_back(std::move(connection));
  }
}

/// A socket is readable only when a whole message is there, or its end.
bool RdmaTarget::serve(Connection& connection) noexcept {
  pollfd ready{connection.socket.get(), POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) return true;  // nothing new
  events_.fetch_add(1);
  return connection.kn_slot < 0 ? welcome(connection) : connect(connection);
}

Status RdmaTarget::take_slot(int wanted, Connection& connection) noexcept {
  const std::lock_guard lock(mutex_);
  const auto is_free = [this](int s) {
    return std::ranges::none_of(connections_,
                                [&](const auto& c) { return c->kn_slot == s && !c->doomed; });
  };
  if (wanted >= pool_.kn_slots) return Status::kOutOfRange;
  if (wanted >= 0) {
    if (!is_free(wanted)) return Status::kBusy;
    connection.kn_slot = wanted;
    return Status::kOk;
  }
  for (int s = 0; s < pool_.kn_slots; ++s) {
    if (!is_free(s)) continue;
    connection.kn_slot = s;
    return Status::kOk;
  }
  return Status::kNoResource;
}

/// Without the mutex: pinning a large pool takes seconds. Until there are pairs nobody gets in.
Status RdmaTarget::open(Connection& connection) noexcept {
  if (!port_.context) return Status::kNodeDown;
  ProtectionDomain pd(::ibv_alloc_pd(port_.context.get()));
  if (!pd) return Status::kNoResource;
  MemoryRegion region(::ibv_reg_mr_iova(pd.get(), pool_.memory.data(), pool_.memory.size(),
                                        remote_address_, kPoolRights));
  CompletionQueue cq(::ibv_create_cq(port_.context.get(), kTargetCqes, nullptr, nullptr, 0));
  if (!region || !cq) return Status::kNoResource;
  const std::lock_guard lock(mutex_);
  if (connection.doomed) return Status::kFenced;
  connection.pd = std::move(pd);
  connection.region = std::move(region);
  connection.cq = std::move(cq);
  if (!cm_) return Status::kOk;
  // Who guessed it could take the place of another KN's pair.
  const bool random = ::getrandom(&connection.cm_token, sizeof connection.cm_token, 0) ==
                      static_cast<ssize_t>(sizeof connection.cm_token);
  return random ? Status::kOk : Status::kInternal;
}

bool RdmaTarget::welcome(Connection& connection) noexcept {
  HelloMessage hello{};
  const int socket = connection.socket.get();
  if (!ok(receive_whole(socket, &hello, sizeof hello, kMessageTimeoutMs)) ||
      hello.magic != kExchangeMagic || hello.kind != static_cast<uint32_t>(MessageKind::kHello)) {
    return false;
  }
  wake_for(socket, sizeof(ConnectMessage));
  Status status = take_slot(hello.kn_slot, connection);
  if (ok(status)) status = open(connection);
  WelcomeMessage answer{};
  answer.magic = kExchangeMagic;
  answer.kind = static_cast<uint32_t>(MessageKind::kWelcome);
  answer.status = static_cast<uint32_t>(status);
  if (ok(status)) {
    answer.node_id = pool_.node_id;
    answer.kn_slot = static_cast<uint16_t>(connection.kn_slot);
    answer.rkey = connection.region->rkey;
    answer.remote_address = remote_address_;
    answer.pool_bytes = pool_.memory.size();
    answer.superblock_offset = pool_.superblock_offset;
    answer.persistence = static_cast<uint64_t>(pool_.persistence);
    std::copy(pool_.uuid.begin(), pool_.uuid.end(), std::begin(answer.uuid));
    answer.cm_token = connection.cm_token;
  }
  return ok(send_whole(socket, &answer, sizeof answer)) && ok(status);
}

/// The pair `number`, in reset.
Result<ibv_qp*> RdmaTarget::fresh_pair(Connection& connection, uint32_t number) noexcept {
  if (number >= kQueuePairsMax) return std::unexpected(Status::kOutOfRange);
  if (connection.pairs.size() <= number) connection.pairs.resize(number + 1);
  QueuePair& pair = connection.pairs[number];
  if (!pair) {
    ibv_qp_init_attr init{};
    init.send_cq = connection.cq.get();
    init.recv_cq = connection.cq.get();
    init.qp_type = IBV_QPT_RC;
    init.cap.max_send_wr = 1;
    init.cap.max_recv_wr = 1;
    init.cap.max_send_sge = 1;
    init.cap.max_recv_sge = 1;
    pair.reset(::ibv_create_qp(connection.pd.get(), &init));
    if (!pair) return std::unexpected(Status::kNoResource);
  }
  if (const Status s = reset_pair(pair.get()); !ok(s)) return std::unexpected(s);
  return pair.get();
}

Status RdmaTarget::answer_pair(Connection& connection, const ConnectMessage& ask,
                               ConnectMessage* answer) noexcept {
  const auto pair = fresh_pair(connection, ask.number);
  if (!pair) return pair.error();
  const uint32_t psn = ((*pair)->qp_num * 0x9e37u + ++connects_ * 0x1003u) & 0xff'ffff;
  *answer = to_message(MessageKind::kConnected, ask.number, own_end(port_, (*pair)->qp_num, psn));
  return connect_pair(*pair, port_, to_peer(ask), psn, kRemoteRights);
}

void RdmaTarget::serve_cm() noexcept {
  while (auto request = cm_->next()) {
    const std::lock_guard lock(mutex_);
    if (const Status s = accept_cm(*request); !ok(s)) CmListener::refuse(*request, s);
    events_.fetch_add(1);
  }
}

Status RdmaTarget::accept_cm(CmListener::Request& request) noexcept {
  const auto asking = std::ranges::find_if(connections_, [&](const auto& c) {
    return c->cm_token != 0 && c->cm_token == request.hello.token && !c->doomed;
  });
  if (asking == connections_.end()) return Status::kFenced;
  Connection& connection = **asking;
  const uint32_t number = request.hello.number;
  const auto pair = fresh_pair(connection, number);
  if (!pair) return pair.error();
  const Status status = CmListener::accept(request, *pair, kRemoteRights);
  if (!ok(status)) return status;
  if (connection.links.size() <= number) connection.links.resize(number + 1);
  connection.links[number] = std::move(request.id);
  return Status::kOk;
}

bool RdmaTarget::connect(Connection& connection) noexcept {
  ConnectMessage ask{};
  const int socket = connection.socket.get();
  if (!ok(receive_whole(socket, &ask, sizeof ask, kMessageTimeoutMs)) ||
      ask.magic != kExchangeMagic || ask.kind != static_cast<uint32_t>(MessageKind::kConnect)) {
    return false;
  }
  ConnectMessage answer{};
  answer.magic = kExchangeMagic;
  answer.kind = static_cast<uint32_t>(MessageKind::kConnected);
  answer.number = ask.number;
  Status status = Status::kFenced;
  {
    const std::lock_guard lock(mutex_);
    if (!connection.doomed) status = answer_pair(connection, ask, &answer);
  }
  answer.status = static_cast<uint32_t>(status);
  return ok(send_whole(socket, &answer, sizeof answer));
}

}  // namespace dinomo::fabric::rdma
