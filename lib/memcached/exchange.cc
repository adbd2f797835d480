// SPDX-License-Identifier: BSD-3-Clause
#include "memcached/exchange.h"

#include <cassert>

#include "pool/format.h"

namespace dinomo::memcached {

namespace {

bool only_reads(const Command& c) noexcept {
  return (is_retrieval(c.verb) || c.verb == Verb::kMetaGet) && !c.touch;
}

/// The extras of a reply to an operation that asked for the item.
wire::ItemExtras item_of(const kn::Errand& e) noexcept {
  return e.extra_bytes == sizeof(wire::ItemExtras) ? load<wire::ItemExtras>(e.extras.data())
                                                   : wire::ItemExtras{};
}

}  // namespace

Slots::Slots(uint32_t count)
    : memory_(std::make_unique_for_overwrite<std::byte[]>(size_t{count} * pool::kValueBytesMax)),
      slots_(count) {
  for (uint32_t i = 0; i < count; ++i) {
    slots_[i].room = {memory_.get() + size_t{i} * pool::kValueBytesMax, pool::kValueBytesMax};
    slots_[i].next = free_;
    free_ = &slots_[i];
  }
}

Slot* Slots::take() noexcept {
  Slot* const s = free_;
  if (s == nullptr) return nullptr;
  free_ = s->next;
  ++taken_;
  return s;
}

void Slots::give(Slot* slot) noexcept {
  slot->next = free_;
  free_ = slot;
  --taken_;
}

void Exchange::begin(const Place* place, Output* output) noexcept {
  *this = Exchange();
  place_ = place;
  output_ = output;
  end_ = &first_;
}

Exchange::State Exchange::advance(bool may_start) noexcept {
  advancing_ = true;
  Step s = Step::kGoOn;
  for (uint32_t i = 0; i < kStepsMax && s == Step::kGoOn; ++i) s = step(may_start);
  advancing_ = false;
  switch (s) {
    case Step::kWait: return State::kWaiting;
    case Step::kEnd: return State::kDone;
    case Step::kClose: return State::kClose;
    default: return State::kBlocked;
  }
}

Exchange::Step Exchange::step(bool may_start) noexcept {
  if (retrieving_) return step_retrieval(may_start);
  const Step at_end = in_flight_ != 0 ? Step::kWait : closed_ ? Step::kClose : Step::kEnd;
  wanted_ = 0;
  if (closed_ || input_.empty() || skip_ != 0) return at_end;
  const Parsed parsed = parse(input_, place_->line_bytes_max);
  switch (parsed.kind) {
    case Parsed::Kind::kIncomplete: wanted_ = parsed.wanted; return at_end;
    case Parsed::Kind::kHopeless: closed_ = true; return Step::kGoOn;
    default: return carry_out(parsed, may_start);
  }
}

Exchange::Step Exchange::carry_out(const Parsed& parsed, bool may_start) noexcept {
  const Command& c = parsed.command;
  const bool keyed = parsed.kind == Parsed::Kind::kCommand && has_key(c.verb);
  const bool overlaps = keyed && only_reads(c) && only_reads_;
  if (in_flight_ != 0 && !overlaps) return Step::kWait;
  if (keyed && !is_retrieval(c.verb)) {
    if (in_flight_ == kWindow) return Step::kWait;
    if (!may_start || !start(c, c.keys)) return Step::kBlocked;
  }
  input_ = input_.subspan(parsed.consumed);
  skip_ = parsed.skip;
  if (parsed.kind == Parsed::Kind::kRefused) {
    place_->counters->refused.add();
    if (parsed.silent) return Step::kGoOn;
    say(parsed.refusal);
    say("\r\n");
    return Step::kGoOn;
  }
  if (!keyed) return carry_out_plain(c);
  if (is_retrieval(c.verb)) {
    command_ = c;
    retrieving_ = true;
    failed_ = false;
  }
  return Step::kGoOn;
}

Exchange::Step Exchange::carry_out_plain(const Command& c) noexcept {
  switch (c.verb) {
    case Verb::kMetaNoop: say(kMetaNoopReply); break;
    case Verb::kVersion:
      say("VERSION ");
      say(place_->version);
      say("\r\n");
      break;
    case Verb::kVerbosity:
      if (!c.noreply) say("OK\r\n");
      break;
    case Verb::kFlushAll:
      place_->counters->cmd_flush.add();
      if (!c.noreply) say(kFlushRefusal);
      break;
    case Verb::kStats: place_->server->write_stats(c.arguments, output_); break;
    default: closed_ = true; break;  // quit
  }
  return Step::kGoOn;
}

Exchange::Step Exchange::step_retrieval(bool may_start) noexcept {
  std::string_view rest = command_.keys;
  const std::string_view key = next_key(&rest);
  if (key.empty() || failed_) {
    if (in_flight_ != 0) return Step::kWait;
    retrieving_ = false;
    if (!failed_) say(kEnd);
    return Step::kGoOn;
  }
  if (in_flight_ == kWindow) return Step::kWait;
  if (!may_start || !start(command_, key)) return Step::kBlocked;
  command_.keys = rest;
  return Step::kGoOn;
}

/// False: there is no slot.
bool Exchange::start(const Command& command, std::string_view key) noexcept {
  Slot* const s = place_->slots->take();
  if (s == nullptr) return false;
  s->exchange = this;
  s->command = command;
  s->key = key;
  s->answered = false;
  s->next = nullptr;
  s->done = on_done;
  s->command.keys = key;
  const Bytes binary = binary_key(s->command, &s->binary_key);
  s->operation = to_operation(command, binary, place_->desk->unix_ms());
  *end_ = s;
  end_ = &s->next;
  only_reads_ = only_reads(command);
  ++in_flight_;
  place_->desk->start(s);
  return true;
}

void Exchange::on_done(kn::Errand* errand) noexcept {
  auto* const s = static_cast<Slot*>(errand);
  Exchange* const x = s->exchange;
  s->answered = true;
  if (s != x->first_) {
    s->keep_value();  // those before it come first
    return;
  }
  x->say_answered();
  if (!x->advancing_) x->place_->server->on_progress(x);
}

void Exchange::say_answered() noexcept {
  while (first_ != nullptr && first_->answered) {
    Slot* const s = first_;
    first_ = s->next;
    if (first_ == nullptr) end_ = &first_;
    say_outcome(s);
    --in_flight_;
    place_->slots->give(s);
  }
}

void Exchange::say_outcome(Slot* s) noexcept {
  place_->counters->count(s->command, s->status);
  const bool of_retrieval = is_retrieval(s->command.verb);
  if (of_retrieval && failed_) return;
  if (of_retrieval && !failure_line(s->status).empty()) failed_ = true;
  std::array<char, kReplyHeadBytesMax> head;
  const Outcome outcome{s->status, item_of(*s), s->value};
  const Reply r = format_reply(s->command, s->key, outcome, place_->desk->unix_ms(), &head);
  if (r.head_bytes != 0) say({head.data(), r.head_bytes});
  if (r.with_value) output_->append(s->value);
  if (!r.tail.empty()) say(r.tail);
}

}  // namespace dinomo::memcached
