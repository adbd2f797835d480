// SPDX-License-Identifier: BSD-3-Clause
#include "world/dpm_node.h"

#include <cstdlib>

#include "drivers/fabric/sim/sim_fabric.h"
#include "world/audit.h"

namespace dinomo::world {

namespace {

constexpr uint64_t kIdleNs = 1'000'000;

}  // namespace

DpmNode::DpmNode(Environment* environment, const DpmOptions& options)
    : environment_(environment),
      id_(environment->loop.add(this)),
      options_(options),
      clock_(&environment->loop, options.clock),
      memory_(options.pool_bytes, options.seed) {
  if (!ok(memory_.format(options.geometry, options.index_buckets, options.seed))) {
    std::abort();  // the scenario's sizes were checked
  }
}

DpmNode::~DpmNode() {
  kill();
  environment_->loop.remove(id_);
}

uint32_t DpmNode::turn() {
  if (target_ == nullptr) return 0;
  memory_.set_running(true);
  const uint32_t work = service_->poll();
  memory_.set_running(false);
  if (memory_.stopped()) {
    // It stopped within this turn: the rest of the turn never was, and nobody reaches it any more.
    memory_.stop();
    target_.reset();
    environment_->loop.at(environment_->loop.now_ns(), id_, 0);
  }
  return work;
}

/// The turn is over: now the process can go.
void DpmNode::on_event(uint64_t) {
  if (target_ == nullptr) kill();
  if (on_stopped) on_stopped();
}

Status DpmNode::start() {
  found_ = std::make_unique<dpm::CheckReport>();
  dpm::ServiceConfig config = options_.service;
  config.on_damage = into(found_.get());
  memory_.set_running(true);
  auto service = dpm::Service::start(
      memory_, clock_, config,
      [this](const std::string& text) { environment_->say(options_.name, text); }, &why_);
  memory_.set_running(false);
  if (!service) return service.error();
  if (memory_.stopped()) {
    memory_.stop();
    environment_->say(options_.name, "stopped in the middle of its recovery");
    if (on_stopped) on_stopped();
    return Status::kOk;
  }
  service_ = std::move(*service);
  why_ = audit(memory_, *service_, clock_.unix_ms(), found_.get());
  if (!why_.empty()) return Status::kInternal;
  const pool::Superblock& s = memory_.superblock();
  fabric::PoolExport exported;
  exported.memory = memory_.memory();
  exported.superblock_offset = memory_.superblock_offset();
  exported.uuid = s.uuid;
  exported.node_id = s.node_id;
  exported.kn_slots = s.kn_slots;
  exported.persistence = memory_.persistence();
  auto target = fabric::find_driver("sim")->listen(options_.name, exported, &why_);
  if (!target) return target.error();
  target_ = std::move(*target);
  service_->serve(*target_);
  lcore_ = std::make_unique<Lcore>(
      &environment_->loop, &environment_->fabric, options_.costs, [this] { return turn(); },
      [] { return kIdleNs; });
  static_cast<fabric::sim::SimTarget*>(target_.get())->landed =
      [this](uint64_t offset, uint64_t bytes, bool persistent) {
        if (persistent) memory_.persist_now(offset, bytes);
        lcore_->wake();
      };
  environment_->say(options_.name, "serving");
  return Status::kOk;
}

void DpmNode::kill() {
  if (!service_) return;
  environment_->say(options_.name,
                    target_ != nullptr ? "killed" : "stopped in the middle of a turn");
  memory_.stop_at_drain(0, false);
  lcore_.reset();
  service_.reset();
  target_.reset();
}

void DpmNode::fail_power() {
  kill();
  const sim::PowerFailure f = memory_.fail_power();
  environment_->say(options_.name, "power failed: of " + std::to_string(f.lines_unsafe) +
                                       " unsafe lines " + std::to_string(f.lines_lost) + " lost");
}

}  // namespace dinomo::world
