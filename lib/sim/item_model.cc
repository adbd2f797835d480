// SPDX-License-Identifier: BSD-3-Clause
#include "sim/item_model.h"

#include <charconv>
#include <optional>

namespace dinomo::sim {

namespace {

using wire::Opcode;
using wire::Status;

/// An unanswered operation fits every outcome.
bool fits(const Operation& o, Status status) noexcept {
  return !o.answered() || o.status == status;
}

std::optional<uint64_t> number_in(const std::string& text) noexcept {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return number;
}

uint64_t saturating_add(uint64_t a, uint64_t b) noexcept { return a > kNever - b ? kNever : a + b; }

uint64_t saturating_sub(uint64_t a, uint64_t b) noexcept { return a < b ? 0 : a - b; }

}  // namespace

ItemModel::ItemModel(const ItemModelOptions& options,
                     const std::vector<const Operation*>& operations)
    : options_(options) {
  for (const Operation* o : operations) {
    if (wire::is_mutation(o->opcode) && o->answered() && o->version != 0) {
      told_versions_.insert(o->version);
    }
  }
}

bool ItemModel::says_nothing(const Operation& o) noexcept {
  if (!o.answered()) return !wire::is_mutation(o.opcode);
  return static_cast<uint8_t>(o.status) >= static_cast<uint8_t>(Status::kBadRequest);
}

uint32_t ItemModel::intern(std::string value) {
  const auto [it, made] =
      value_index_.try_emplace(std::move(value), static_cast<uint32_t>(values_.size()));
  if (made) values_.push_back(it->first);
  return it->second;
}

void ItemModel::set_lifetime(ItemState* s, const Operation& o) const noexcept {
  s->expires_from_ns = kNever;
  s->expires_until_ns = kNever;
  if (o.ttl_ms == 0) return;
  const uint64_t ttl_ns = o.ttl_ms > kNever / 1'000'000 ? kNever : o.ttl_ms * 1'000'000;
  s->expires_from_ns = saturating_sub(saturating_add(o.invoke_ns, ttl_ns), options_.clock_skew_ns);
  if (!o.answered()) return;  // nobody knows when it took effect
  // A server counts in whole milliseconds.
  s->expires_until_ns =
      saturating_add(saturating_add(o.return_ns, ttl_ns), options_.clock_skew_ns + 1'000'000);
}

bool ItemModel::version_possible(const ItemState& s, uint64_t version) const noexcept {
  if (s.version == ItemState::kVersionAny) return true;
  if (s.version == ItemState::kVersionOpen) return !told_versions_.contains(version);
  return s.version == version;
}

bool ItemModel::fits_item(const ItemState& s, const Operation& o) const noexcept {
  if (!o.answered()) return true;
  if (o.result != values_[s.value]) return false;
  if (!o.has_item) return true;
  return o.result_flags == s.item_flags && (o.version == 0 || version_possible(s, o.version)) &&
         (o.result_expiry_ms != 0) == (s.expires_from_ns != kNever);
}

void ItemModel::store(const ItemState& from, const Operation& o, std::string value,
                      bool keeps_lifetime, Successors* out) {
  if (!fits(o, Status::kOk)) return;
  ItemState s = from;
  s.present = true;
  s.value = intern(std::move(value));
  s.version = o.answered() ? o.version : ItemState::kVersionOpen;
  if (!keeps_lifetime) {
    s.item_flags = o.item_flags;
    set_lifetime(&s, o);
  }
  out->add(s);
}

void ItemModel::concatenate(const ItemState& from, const Operation& o, Successors* out) {
  if (!from.present) {
    if (fits(o, Status::kNotStored)) out->add(from);
    return;
  }
  const std::string& old = values_[from.value];
  if (old == kHidden || o.value == kHidden) {
    store(from, o, std::string(kHidden), true, out);
    return;
  }
  store(from, o, o.opcode == Opcode::kAppend ? old + o.value : o.value + old, true, out);
}

void ItemModel::count(const ItemState& from, const Operation& o, Successors* out) {
  if (!from.present && !o.create) {
    if (fits(o, Status::kNotFound)) out->add(from);
    return;
  }
  uint64_t number = o.initial;
  if (from.present) {
    const auto old = number_in(values_[from.value]);
    if (!old) {
      if (fits(o, Status::kNotNumber)) out->add(from);
      return;
    }
    number = o.opcode == Opcode::kIncr ? *old + o.delta : saturating_sub(*old, o.delta);
  }
  std::string text = std::to_string(number);
  if (o.answered() && o.result != text) return;
  store(from, o, std::move(text), from.present, out);
}

void ItemModel::touch(const ItemState& from, const Operation& o, Successors* out) {
  if (!from.present) {
    if (fits(o, Status::kNotFound)) out->add(from);
    return;
  }
  if (!fits(o, Status::kOk)) return;
  ItemState s = from;
  set_lifetime(&s, o);
  if (o.opcode == Opcode::kGetAndTouch && o.answered() && o.result != values_[from.value]) return;
  // Whether touching makes a new version is the server's business.
  s.version = o.answered() && o.version != 0 ? o.version : ItemState::kVersionAny;
  out->add(s);
}

void ItemModel::read(const ItemState& from, const Operation& o, Successors* out) {
  if (!from.present) {
    if (fits(o, Status::kNotFound)) out->add(from);
    return;
  }
  if (!fits(o, Status::kOk) || !fits_item(from, o)) return;
  ItemState s = from;
  if (o.version != 0) s.version = o.version;
  out->add(s);
}

void ItemModel::compare_and_store(const ItemState& from, const Operation& o, Successors* out) {
  if (!from.present) {
    if (fits(o, Status::kNotFound)) out->add(from);
    return;
  }
  if (version_possible(from, o.expected_version)) store(from, o, o.value, false, out);
  if (from.version != o.expected_version && fits(o, Status::kExists)) out->add(from);
}

void ItemModel::step_unexpired(const ItemState& from, const Operation& o, Successors* out) {
  switch (o.opcode) {
    case Opcode::kGet: read(from, o, out); return;
    case Opcode::kPut: store(from, o, o.value, false, out); return;
    case Opcode::kDelete:
      if (fits(o, from.present ? Status::kOk : Status::kNotFound)) out->add(ItemState{});
      return;
    case Opcode::kAdd:
      if (!from.present) {
        store(from, o, o.value, false, out);
      } else if (fits(o, Status::kExists)) {
        out->add(from);
      }
      return;
    case Opcode::kReplace:
      if (from.present) {
        store(from, o, o.value, false, out);
      } else if (fits(o, Status::kNotStored)) {
        out->add(from);
      }
      return;
    case Opcode::kCas: compare_and_store(from, o, out); return;
    case Opcode::kAppend:
    case Opcode::kPrepend: concatenate(from, o, out); return;
    case Opcode::kIncr:
    case Opcode::kDecr: count(from, o, out); return;
    case Opcode::kTouch:
    case Opcode::kGetAndTouch: touch(from, o, out); return;
    default: return;
  }
}

ItemModel::Successors ItemModel::step(const ItemState& from, const Operation& o) {
  Successors out;
  const bool may_be_gone = from.present && o.return_ns >= from.expires_from_ns;
  const bool must_be_gone = from.present && o.invoke_ns > from.expires_until_ns;
  if (!must_be_gone) step_unexpired(from, o, &out);
  if (!may_be_gone) return out;
  Successors gone;
  step_unexpired(ItemState{}, o, &gone);
  for (uint32_t i = 0; i < gone.count; ++i) {
    // Clocks that are apart may see the item again through another KN, until all agree.
    const bool may_come_back = !gone.state[i].present && options_.clock_skew_ns != 0 &&
                               o.opcode != Opcode::kDelete && !must_be_gone;
    out.add(may_come_back ? from : gone.state[i]);
  }
  return out;
}

std::string ItemModel::describe(const ItemState& s) const {
  if (!s.present) return "absent";
  const std::string& v = values_[s.value];
  std::string text = "'" + (v.size() > 40 ? v.substr(0, 40) + "..." : v) + "'";
  if (s.version != ItemState::kVersionOpen && s.version != ItemState::kVersionAny) {
    text += " version " + std::to_string(s.version);
  }
  if (s.expires_from_ns != kNever) {
    text += " expires from " + std::to_string(s.expires_from_ns) + " ns";
  }
  return text;
}

}  // namespace dinomo::sim
