// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/sim/sim_network.h"

#include <algorithm>
#include <cstring>

#include "drivers/fabric/sim/sim_fabric.h"

namespace dinomo::fabric::sim {

namespace {

thread_local SimNetwork* current_network = nullptr;

// Events: an operation and what happens to it. Operations are aligned, so the low bits are free.
constexpr uint64_t kLand = 0;
constexpr uint64_t kFinish = 1;
constexpr uint64_t kSecondPart = 2;
constexpr uint64_t kPersist = 3;
constexpr uint64_t kWhatMask = 3;

uint64_t event(SimOperation* operation, uint64_t what) noexcept {
  return reinterpret_cast<uintptr_t>(operation) | what;
}

}  // namespace

SimNetwork::SimNetwork(dinomo::sim::EventLoop* loop, uint64_t seed)
    : loop_(loop), id_(loop->add(this)), random_(seed) {}

SimNetwork::~SimNetwork() {
  loop_->remove(id_);
  if (current_network == this) current_network = nullptr;
}

void SimNetwork::use(SimNetwork* network) noexcept { current_network = network; }
SimNetwork* SimNetwork::current() noexcept { return current_network; }

SimTarget* SimNetwork::find(const std::string& address) noexcept {
  const auto at = targets_.find(address);
  return at == targets_.end() ? nullptr : at->second;
}

Status SimNetwork::add(const std::string& address, SimTarget* target) {
  return targets_.try_emplace(address, target).second ? Status::kOk : Status::kExists;
}

void SimNetwork::remove(SimTarget* target) noexcept {
  std::erase_if(targets_, [=](const auto& entry) { return entry.second == target; });
  for (const auto& weak : connections_) {
    if (const auto c = weak.lock(); c && c->target == target) c->target = nullptr;
  }
}

bool SimNetwork::connected(const SimTarget* target, uint16_t kn_slot) const noexcept {
  return std::ranges::any_of(connections_, [&](const auto& weak) {
    const auto c = weak.lock();
    return c && c->target == target && c->kn_slot == kn_slot && c->open && !c->revoked;
  });
}

/// Of a slot at most one connection is open (connect refuses a second), so those of earlier holders
/// are what has to be cut off.
void SimNetwork::revoke(const SimTarget* target, uint16_t kn_slot, bool present) noexcept {
  for (const auto& weak : connections_) {
    const auto c = weak.lock();
    if (c && c->target == target && c->kn_slot == kn_slot && (present || !c->open)) {
      c->revoked = true;
    }
  }
  std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
}

void SimNetwork::cut(uint16_t kn_slot, bool down) noexcept {
  for (const auto& weak : connections_) {
    if (const auto c = weak.lock(); c && c->kn_slot == kn_slot) c->cut = down;
  }
}

SimOperation* SimNetwork::take() noexcept {
  if (free_.empty()) {
    operations_.push_back(std::make_unique<SimOperation>());
    return operations_.back().get();
  }
  SimOperation* o = free_.back();
  free_.pop_back();
  return o;
}

void SimNetwork::give_back(SimOperation* o) noexcept {
  std::vector<std::byte> bytes = std::move(o->bytes);
  bytes.clear();
  *o = SimOperation{};
  o->bytes = std::move(bytes);
  free_.push_back(o);
}

void SimNetwork::launch(SimOperation* o, uint64_t start_ns) noexcept {
  uint64_t at_ns = start_ns + one_way_ns();
  if (chance(faults_.straggler_ppm)) {
    ++counters_.stragglers;
    at_ns += random_.below(faults_.straggler_ns + 1);
  }
  if (chance(faults_.late_ppm)) {
    ++counters_.late;
    at_ns += random_.below(faults_.late_ns + 1);
  }
  if (o->connection->cut) at_ns = start_ns + faults_.lost_after_ns;
  loop_->at(at_ns, id_, event(o, kLand));
  if (observer_) observer_(o->connection->kn_slot);
}

/// What arrives takes its turn at the node's card.
bool SimNetwork::waits_for_card(SimOperation* o) noexcept {
  SimTarget* const target = o->connection->target;
  if (o->arrived || target == nullptr) return false;
  o->arrived = true;
  const uint64_t begin_ns = target->card_takes(loop_->now_ns(), *o, faults_);
  if (begin_ns == loop_->now_ns()) return false;
  loop_->at(begin_ns, id_, event(o, kLand));
  return true;
}

/// Its KN was killed: from here on nobody waits for it.
void SimNetwork::orphan(SimOperation* o) noexcept { o->queue = nullptr; }

Status SimNetwork::reach(const SimOperation& o) const noexcept {
  if (o.connection->target == nullptr || o.connection->cut) return Status::kUnreachable;
  if (o.connection->revoked) return Status::kFenced;
  return Status::kOk;
}

void SimNetwork::on_event(uint64_t argument) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
  auto* o = reinterpret_cast<SimOperation*>(argument & ~kWhatMask);
  switch (argument & kWhatMask) {
    case kLand:
      if (!waits_for_card(o)) land(o);
      return;
    case kFinish: finish(o); return;
    case kPersist: persist(o); return;
    default: break;
  }
  // The second part of a torn write.
  if (ok(o->status)) o->status = reach(*o);
  if (ok(o->status)) take_effect(o);
  if (o->chained != nullptr) {
    land(o->chained);
    o->chained = nullptr;
  }
  landed(o);
}

/// What is to be persistent is so some time after it can be seen, and completes then.
void SimNetwork::landed(SimOperation* o) noexcept {
  const bool persistent = ok(o->status) && o->options.persistent;
  const uint64_t at_ns =
      loop_->now_ns() + (persistent ? random_.below(faults_.delay_ns + 1) : one_way_ns());
  loop_->at(at_ns, id_, event(o, persistent ? kPersist : kFinish));
}

void SimNetwork::persist(SimOperation* o) noexcept {
  o->status = reach(*o);
  if (ok(o->status)) {
    SimTarget& target = *o->connection->target;
    if (target.landed) target.landed(o->offset, o->bytes.size(), true);
  }
  loop_->at(loop_->now_ns() + one_way_ns(), id_, event(o, kFinish));
}

void SimNetwork::land(SimOperation* o) noexcept {
  if (ok(o->status)) o->status = reach(*o);
  if (o->queue == nullptr && ok(o->status)) {
    // Was it still in the card's memory when the machine stopped, or on its way?
    const bool lost = random_.below(2) == 0;
    lost ? ++counters_.orphans_dropped : ++counters_.orphans_landed;
    if (lost) o->status = Status::kUnreachable;
  }
  if (o->status == Status::kFenced) ++counters_.fenced;
  if (o->status == Status::kUnreachable) ++counters_.unreachable;
  if (ok(o->status) && o->kind == SimOperation::Kind::kWrite && o->bytes.size() > 64 &&
      chance(faults_.tear_ppm)) {
    ++counters_.torn;
    o->torn = true;
    const uint64_t cut = random_.below(o->bytes.size() / 8) * 8;
    std::byte* at = o->connection->target->pool().memory.data() + o->offset;
    if (random_.below(2) == 0) {
      std::memcpy(at, o->bytes.data(), cut);
    } else {
      std::memcpy(at + cut, o->bytes.data() + cut, o->bytes.size() - cut);
    }
    loop_->at(loop_->now_ns() + random_.below(faults_.delay_ns + 1), id_, event(o, kSecondPart));
    return;
  }
  if (ok(o->status)) take_effect(o);
  if (o->chained != nullptr) {
    // Nothing may land behind a hole.
    if (!ok(o->status) && ok(o->chained->status)) o->chained->status = o->status;
    land(o->chained);
    o->chained = nullptr;
  }
  landed(o);
}

void SimNetwork::take_effect(SimOperation* o) noexcept {
  SimTarget& target = *o->connection->target;
  std::byte* at = target.pool().memory.data() + o->offset;
  ++counters_.landed;
  switch (o->kind) {
    case SimOperation::Kind::kRead: std::memcpy(o->bytes.data(), at, o->bytes.size()); return;
    case SimOperation::Kind::kWrite:
      std::memcpy(at, o->bytes.data(), o->bytes.size());
      if (target.landed) target.landed(o->offset, o->bytes.size(), false);
      return;
    case SimOperation::Kind::kCompareSwap: {
      const auto before = load<uint64_t>(at);
      if (before == o->operand[0]) store(at, o->operand[1]);
      o->operand[0] = before;
      break;
    }
    case SimOperation::Kind::kFetchAdd: {
      const auto before = load<uint64_t>(at);
      store(at, before + o->operand[0]);
      o->operand[0] = before;
      break;
    }
  }
  if (target.landed) target.landed(o->offset, sizeof(uint64_t), false);
}

void SimNetwork::finish(SimOperation* o) noexcept {
  if (o->queue != nullptr) {
    o->queue->ready(o);
  } else {
    give_back(o);
  }
}

}  // namespace dinomo::fabric::sim
