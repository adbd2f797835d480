// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/dinomo/client.h"

#include <algorithm>
#include <cstdlib>

namespace dinomo::eval {

namespace {

constexpr uint64_t kIdleNs = 1'000'000;
constexpr uint32_t kAttemptsMax = 10'000;  // the deadline is what ends them
constexpr uint16_t kPort = 40'000;
constexpr world::LcoreCosts kNothing{.turn_ns = 10, .work_ns = 0};

/// What a value begins with.
struct Tag {
  uint64_t key;
  uint64_t value;
};

}  // namespace

ClientNode::ClientNode(world::Environment* environment, const ClientConfig& config, Source* source)
    : environment_(environment),
      config_(config),
      source_(source),
      clock_(&environment->loop, {}),
      calls_(config.depth),
      value_(config.value_bytes) {
  std::string why;
  ingress::Config in;
  in.addresses = {*ingress::parse_address(config.ip)};
  in.base_port = kPort;
  auto opened = ingress::find_driver("sim")->open(in, &why);
  if (!opened || !ok((*opened)->start(&why))) std::abort();
  ingress_ = std::move(*opened);
  const auto address = [](const std::string& ip, uint16_t port) {
    return client::Address{.ip = ingress::parse_address(ip)->address, .port = port};
  };
  client::IngressTransport::Local local;
  local.address = address(config.ip, kPort);
  transport_ = std::make_unique<client::IngressTransport>(&ingress_->queue(0), local);
  std::vector<client::Address> seeds;
  seeds.reserve(config.seeds.size());
  for (const std::string& ip : config.seeds) seeds.push_back(address(ip, wire::kDefaultPort));
  client::Options options;
  options.in_flight_max = std::max<uint32_t>(config.depth, 16);
  options.retry_min_ms = config.retry_min_ms;
  options.deadline_ms = 60'000;
  options.attempts_max = kAttemptsMax;
  options.seed = config.seed;
  auto created = client::Client::create(transport_.get(), &clock_, options, seeds);
  if (!created) std::abort();
  client_ = std::move(*created);
  for (Call& call : calls_) {
    call.node = this;
    free_.push_back(&call);
  }
  lcore_ = std::make_unique<world::Lcore>(
      &environment->loop, &environment->fabric, kNothing, [this] { return turn(); },
      [] { return kIdleNs; });
  static_cast<ingress::sim::SimIngress*>(ingress_.get())->set_waker(0, lcore_.get());
}

ClientNode::~ClientNode() = default;

uint32_t ClientNode::turn() {
  uint32_t work = client_->poll();
  while (!free_.empty() && submit(free_.back())) {
    free_.pop_back();
    ++work;
  }
  client_->flush();
  return work;
}

bool ClientNode::submit(Call* call) {
  Operation& o = call->operation = Operation{};
  if (!source_->next(&o)) return false;
  o.invoke_ns = environment_->loop.now_ns();
  client::Operation request;
  request.opcode = o.put ? wire::Opcode::kPut : wire::Opcode::kGet;
  request.key = object_bytes(o.key);
  if (o.put) {
    store(value_.data(), Tag{o.key, o.value});
    request.value = value_;
  }
  request.callback = &ClientNode::completed;
  request.context = call;
  if (!ok(client_->submit(request))) std::abort();  // depth is within in_flight_max
  return true;
}

void ClientNode::completed(void* context, const client::Completion& c) {
  auto* const call = static_cast<Call*>(context);
  ClientNode* const node = call->node;
  Operation& o = call->operation;
  o.status = c.status;
  if (ok(c.status) && !o.put) {
    if (c.value.size() != node->config_.value_bytes || load<Tag>(c.value.data()).key != o.key) {
      o.status = Status::kCorrupt;
    } else {
      o.value = load<Tag>(c.value.data()).value;
    }
  }
  node->source_->done(o);
  node->free_.push_back(call);
}

}  // namespace dinomo::eval
