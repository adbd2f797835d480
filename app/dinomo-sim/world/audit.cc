// SPDX-License-Identifier: BSD-3-Clause
#include "world/audit.h"

#include <fmt/format.h>

#include <set>

#include "common/hash.h"
#include "dpm/check/pool_check.h"
#include "log/format.h"
#include "pool/superblock.h"
#include "world/client_node.h"

namespace dinomo::world {

namespace {

std::set<std::string_view> unanswered(const sim::History& history) {
  std::set<std::string_view> keys;
  for (const sim::Operation& o : history) {
    const bool open = !o.answered() || o.status == wire::Status::kInternal;
    if (open && wire::is_mutation(o.opcode)) keys.insert(o.key);
  }
  return keys;
}

/// What the index has for a key, against what a GET of it has answered.
std::string compare(const sim::Operation& get, const log::Entry* entry) {
  const bool was_there = get.status == wire::Status::kOk;
  const uint64_t expiry_ms = entry != nullptr ? entry->header.expiry_ms : get.result_expiry_ms;
  if (expiry_ms != 0) return {};
  if (entry == nullptr) return was_there ? "the index has no such key: " + describe(get) : "";
  if (!was_there) return "the index has the key: " + describe(get);
  if (entry->version() != get.version) {
    return fmt::format("the index has version {}: {}", entry->version(), describe(get));
  }
  const std::string value = ClientNode::shorten(entry->value);
  if (value != get.result) return fmt::format("the index has {}: {}", value, describe(get));
  return {};
}

std::string compare_all(sim::PoolMemory* memory, dpm::Service* service, const sim::History& read,
                        const sim::History& history) {
  const std::set<std::string_view> open = unanswered(history);
  uint64_t items = 0;
  for (const sim::Operation& get : read) {
    const Bytes key = as_bytes(get.key);
    const auto found = service->index().find(key_hash(key, memory->superblock().hash_seed), key);
    log::Entry entry;
    if (found) {
      ++items;
      const Bytes bytes(memory->at(found->offset_bytes()), found->length_bytes());
      if (log::parse_entry_low8(bytes, found->generation(), &entry) != log::EntryCheck::kValid) {
        return "no valid entry of key " + get.key;
      }
    }
    if (open.contains(get.key) || !get.answered()) continue;
    std::string wrong = compare(get, found ? &entry : nullptr);
    if (!wrong.empty()) return wrong;
  }
  if (service->stats().items == items) return {};
  return fmt::format("{} items, but {} keys are in the index", service->stats().items, items);
}

}  // namespace

dpm::DamageLog::Sink into(dpm::CheckReport* report) {
  return [report](const dpm::Damage& d) {
    report->add(
        dpm::problem_of(d.kind), d.offset,
        fmt::format("at {:#x}, found by recovery ({}, {})", d.offset, d.detail[0], d.detail[1]));
  };
}

std::string audit(pool::Space& space, dpm::Service& service, uint64_t unix_ms,
                  dpm::CheckReport* report) {
  dpm::audit_pool(space, service, false, unix_ms, report);
  for (const dpm::Finding& f : report->findings()) {
    const dpm::ProblemInfo& about = dpm::info(f.problem);
    if (about.severity == dpm::Severity::kNote) continue;
    return fmt::format("the pool's check finds {}: {}", about.name, f.text);
  }
  return {};
}

std::string audit_image(DpmNode* node, const sim::History& read, const sim::History& history) {
  const std::unique_ptr<sim::PoolMemory> image = node->memory().image();
  dpm::CheckReport report;
  dpm::ServiceConfig config{.merge_workers = 0, .validate_index = true};
  config.on_damage = into(&report);
  std::string why;
  const auto service = dpm::Service::start(*image, node->clock(), config, nullptr, &why);
  if (!service) return "the pool cannot be recovered: " + why;
  why = audit(*image, **service, node->clock().unix_ms(), &report);
  if (!why.empty() || read.empty()) return why;
  return compare_all(image.get(), service->get(), read, history);
}

}  // namespace dinomo::world
