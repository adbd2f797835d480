// SPDX-License-Identifier: BSD-3-Clause
#include "world/client_node.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace dinomo::world {

namespace {

constexpr uint32_t kCountsAgainMax = 3;

using wire::Opcode;

constexpr uint64_t kIdleNs = 500'000;
constexpr uint16_t kClientPort = 40'000;
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvw";
constexpr uint32_t kKinds = 3;  // registers, counters, lists

/// "c3.17/120|......" : 120 bytes that tell client and count, so that every value is its own.
std::string padded(const std::string& tag) {
  const size_t slash = tag.rfind('/');
  const size_t bytes = std::strtoul(tag.c_str() + slash + 1, nullptr, 10);
  std::string value = tag + "|";
  for (size_t at = value.size(); at < bytes;) {  // a piece of the alphabet at a time
    const size_t letter = at % kLetters.size();
    const size_t piece = std::min(kLetters.size() - letter, bytes - at);
    value.append(kLetters, letter, piece);
    at += piece;
  }
  return value;
}

}  // namespace

ClientNode::ClientNode(Environment* environment, const ClientOptions& options)
    : environment_(environment),
      options_(options),
      load_(options.load),
      clock_(&environment->loop, options.clock),
      random_(options.seed),
      calls_(options.load.depth) {
  std::string why;
  ingress::Config config;
  config.addresses = {*ingress::parse_address(options.ip)};
  config.base_port = kClientPort;
  auto opened = ingress::find_driver("sim")->open(config, &why);
  if (!opened || !ok((*opened)->start(&why))) std::abort();  // the scenario was checked
  ingress_ = std::move(*opened);
  const auto address = [](const std::string& ip, uint16_t port) {
    return client::Address{.ip = ingress::parse_address(ip)->address, .port = port};
  };
  client::IngressTransport::Local local;
  local.address = address(options.ip, kClientPort);
  transport_ = std::make_unique<client::IngressTransport>(&ingress_->queue(0), local);
  std::vector<client::Address> seeds;
  seeds.reserve(options.seeds.size());
  for (const std::string& ip : options.seeds) seeds.push_back(address(ip, wire::kDefaultPort));
  client::Options c = options.client;
  c.seed = options.seed + 7;
  auto created = client::Client::create(transport_.get(), &clock_, c, seeds);
  if (!created) std::abort();
  client_ = std::move(*created);
  for (Call& call : calls_) call.node = this;
  lcore_ = std::make_unique<Lcore>(
      &environment->loop, &environment->fabric, LcoreCosts{}, [this] { return turn(); },
      [this] { return finished() ? kIdleNs * 100 : kIdleNs; });
  static_cast<ingress::sim::SimIngress*>(ingress_.get())->set_waker(0, lcore_.get());
}

ClientNode::~ClientNode() = default;

uint32_t ClientNode::turn() {
  uint32_t work = client_->poll();
  const uint64_t now = environment_->loop.now_ns();
  for (Call& call : calls_) {
    if (!call.free || started_ == load_.operations || call.think_until_ns > now) continue;
    submit(&call);
    ++work;
  }
  client_->flush();
  return work;
}

void ClientNode::sweep(wire::Opcode opcode) {
  sweep_from_ = load_.operations;
  sweep_ = opcode;
  load_.operations += load_.keys;
  lcore_->wake();
}

void ClientNode::store_value(sim::Operation* o, bool long_value) {
  o->value = "c" + std::to_string(options_.number) + "." + std::to_string(++values_);
  if (long_value) o->value += "/" + std::to_string(random_.below(load_.value_bytes_max + 1));
  if (percent(load_.expiry_percent)) o->ttl_ms = 1 + random_.below(load_.ttl_ms_max);
  o->item_flags = static_cast<uint32_t>(random_.below(4));
}

sim::Operation ClientNode::choose() {
  sim::Operation o;
  o.client = options_.number;
  if (sweep_ != Opcode::kPing && started_ >= sweep_from_) {
    o.opcode = sweep_;
    o.key = key_name(started_ - sweep_from_);
    if (sweep_ == Opcode::kPut) o.value = "last";
    return o;
  }
  // Some keys are hot.
  uint64_t key = random_.below(load_.keys);
  if (percent(50)) key = random_.below(1 + key / 4);
  o.key = key_name(key);
  if (percent(load_.read_percent)) {
    o.opcode = Opcode::kGet;
    return o;
  }
  choose_mutation(&o, key % kKinds);
  return o;
}

void ClientNode::choose_mutation(sim::Operation* o, uint32_t kind) {
  if (percent(load_.delete_percent)) {
    o->opcode = Opcode::kDelete;
    return;
  }
  const bool conditional = percent(load_.conditional_percent);
  if (kind == 1) {  // a counter
    o->opcode = conditional ? (percent(70) ? Opcode::kIncr : Opcode::kDecr) : Opcode::kPut;
    if (conditional) {
      o->delta = 1 + random_.below(3);
      o->initial = 100;
      o->create = percent(80);
    } else {
      o->value = std::to_string(random_.below(1000));
    }
    return;
  }
  if (kind == 2 && conditional) {  // a list
    o->opcode = percent(50) ? Opcode::kAppend : Opcode::kPrepend;
    o->value = "[" + std::to_string(options_.number) + "." + std::to_string(++values_) + "]";
    return;
  }
  o->opcode = Opcode::kPut;
  if (conditional) {
    constexpr std::array kConditional{Opcode::kAdd, Opcode::kReplace, Opcode::kCas, Opcode::kTouch,
                                      Opcode::kGetAndTouch};
    o->opcode = kConditional[random_.below(kConditional.size())];
  }
  if (o->opcode == Opcode::kTouch || o->opcode == Opcode::kGetAndTouch) {
    if (percent(load_.expiry_percent)) o->ttl_ms = 1 + random_.below(load_.ttl_ms_max);
    return;
  }
  store_value(o, kind == 0);
  if (o->opcode == Opcode::kCas) {
    const auto seen = versions_.find(o->key);
    o->expected_version = seen != versions_.end() ? seen->second : 1;  // 1: of another key, if any
  }
}

void ClientNode::submit(Call* call) {
  sim::Operation& o = call->operation = choose();
  std::array<std::byte, 32> extras{};
  const auto put = [&](const auto& object) {
    store(extras.data(), object);
    return Bytes(extras).first(sizeof object);
  };
  Bytes extra;
  switch (o.opcode) {
    case Opcode::kPut:
    case Opcode::kAdd:
    case Opcode::kReplace: extra = put(wire::PutExtras{o.ttl_ms, o.item_flags, 0}); break;
    case Opcode::kCas:
      extra = put(wire::CasExtras{o.expected_version, {o.ttl_ms, o.item_flags, 0}});
      break;
    case Opcode::kIncr:
    case Opcode::kDecr:
      extra = put(wire::CounterExtras{o.delta, o.initial, 0, o.create ? 1u : 0u, 0});
      break;
    case Opcode::kTouch:
    case Opcode::kGetAndTouch: extra = put(wire::TouchExtras{o.ttl_ms}); break;
    default: break;
  }
  const bool long_value = o.value.find('/') != std::string::npos;
  const std::string value = long_value ? padded(o.value) : o.value;
  client::Operation request;
  request.opcode = o.opcode;
  request.flags = o.opcode == Opcode::kGet ? wire::kWantItem : uint8_t{0};
  request.key = as_bytes(o.key);
  request.value = as_bytes(value);
  request.extras = extra;
  request.callback = &ClientNode::completed;
  request.context = call;
  o.invoke_ns = environment_->loop.now_ns();
  if (!ok(client_->submit(request))) return;
  call->free = false;
  ++started_;
  ++in_flight_;
}

void ClientNode::completed(void* context, const client::Completion& c) {
  auto* call = static_cast<Call*>(context);
  call->node->on_completion(call, c);
}

std::string ClientNode::shorten(Bytes value) {
  std::string text(as_text(value));
  const size_t bar = text.find('|');
  if (bar == std::string::npos) return text;
  std::string tag = text.substr(0, bar);
  return tag.find('/') != std::string::npos && padded(tag) == text ? tag : text;
}

void ClientNode::on_completion(Call* call, const client::Completion& c) {
  sim::Operation& o = call->operation;
  call->free = true;
  call->think_until_ns = environment_->loop.now_ns() + random_.below(load_.think_ns + 1);
  --in_flight_;
  if (c.answered) {
    ++answered_;
    o.return_ns = environment_->loop.now_ns();
    o.status = c.wire_status;
    if (c.wire_status == wire::Status::kOk) o.result = shorten(c.value);
    o.version = c.version;
    if (c.has_item) {
      o.has_item = true;
      o.version = c.item.version;
      o.result_flags = c.item.item_flags;
      o.result_expiry_ms = c.item.expiry_ms;
      versions_[o.key] = c.item.version;
    }
  } else {
    ++given_up_;
  }
  if (environment_->trace) {
    environment_->say("client" + std::to_string(options_.number), sim::describe(o));
  }
  if (!load_.record) return;
  history_.push_back(o);
  if (load_.exactly_once || !wire::is_mutation(o.opcode)) return;
  // Once for each restart that may have come between two transmissions; more are as good as these.
  for (uint32_t again = 1; again < c.transmissions && again <= kCountsAgainMax; ++again) {
    history_.push_back(o);
    history_.back().return_ns = sim::kNever;
  }
}

}  // namespace dinomo::world
