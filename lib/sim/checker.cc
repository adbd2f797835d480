// SPDX-License-Identifier: BSD-3-Clause
#include "sim/checker.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "log/format.h"

namespace dinomo::sim {

namespace {

using OperationIds = std::vector<uint32_t>;  // ascending

struct Configuration {
  ItemState state;
  OperationIds replied;     // took effect, reply still to come
  OperationIds unanswered;  // took effect, no reply will come
};

bool contains(const OperationIds& ids, uint32_t id) noexcept {
  return std::ranges::binary_search(ids, id);
}

void insert(OperationIds* ids, uint32_t id) { ids->insert(std::ranges::upper_bound(*ids, id), id); }

void erase(OperationIds* ids, uint32_t id) {
  const auto at = std::ranges::lower_bound(*ids, id);
  if (at != ids->end() && *at == id) ids->erase(at);
}

uint64_t mix(uint64_t h, uint64_t v) noexcept {
  return (h ^ v) * 0x9e37'79b9'7f4a'7c15u + (h >> 29);
}

/// Without the unanswered ones: configurations that differ only in them are compared.
uint64_t hash_of(const Configuration& c) noexcept {
  uint64_t h = mix(c.state.present ? 1 : 2, c.state.value);
  h = mix(h, c.state.version);
  h = mix(h, c.state.expires_from_ns ^ c.state.item_flags);
  h = mix(h, c.state.expires_until_ns);
  for (const uint32_t id : c.replied) h = mix(h, id);
  return h;
}

/// Configurations without dominated ones. Indices stay valid; a dominated one becomes dead.
class Set {
 public:
  void add(Configuration c) {
    std::vector<uint32_t>& same = index_[hash_of(c)];
    const auto comparable = [&](uint32_t at) {
      const Configuration& other = all_[at].configuration;
      return other.state == c.state && other.replied == c.replied;
    };
    for (const uint32_t at : same) {
      const OperationIds& other = all_[at].configuration.unanswered;
      if (comparable(at) && std::ranges::includes(c.unanswered, other)) return;
    }
    std::erase_if(same, [&](uint32_t at) {
      const OperationIds& other = all_[at].configuration.unanswered;
      if (!comparable(at) || !std::ranges::includes(other, c.unanswered)) return false;
      all_[at].dead = true;
      ++dead_;
      return true;
    });
    same.push_back(static_cast<uint32_t>(all_.size()));
    all_.push_back({std::move(c), false});
  }
  size_t end() const noexcept { return all_.size(); }
  size_t size() const noexcept { return all_.size() - dead_; }
  bool dead(size_t i) const noexcept { return all_[i].dead; }
  /// By value: add() moves them.
  Configuration at(size_t i) const { return all_[i].configuration; }
  std::vector<Configuration> take() {
    std::vector<Configuration> alive;
    for (Entry& e : all_) {
      if (!e.dead) alive.push_back(std::move(e.configuration));
    }
    return alive;
  }

 private:
  struct Entry {
    Configuration configuration;
    bool dead;
  };
  std::vector<Entry> all_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> index_;
  size_t dead_ = 0;
};

/// Sorts the unanswered operations of a key into classes whose members explain the same: of each,
/// only the first that is left has to be tried.
///
/// A hidden one stores a value that no reply ever showed, so all that it can explain is that there
/// was a value, or that the version was another one, and any hidden one explains that as well.
class Classes {
 public:
  /// Replaces hidden ones by copies that store ItemModel::kHidden.
  explicit Classes(std::vector<const Operation*>* all) {
    std::vector<const Operation*>& operations = *all;
    for (const Operation* o : operations) {
      if (!o->result.empty()) shown_[o->result] = true;
      concatenates_ |= o->opcode == wire::Opcode::kAppend || o->opcode == wire::Opcode::kPrepend;
      counts_ |= o->opcode == wire::Opcode::kIncr || o->opcode == wire::Opcode::kDecr;
    }
    for (const auto& [text, yes] : shown_) shown_text_ += text + '\0';
    for (uint32_t id = 0; id < operations.size(); ++id) {
      of_.push_back(0);
      if (operations[id]->answered()) continue;
      if (hidden(*operations[id])) {
        Operation& copy = copies_.emplace_back(*operations[id]);
        copy.value = ItemModel::kHidden;
        operations[id] = &copy;
      }
      const uint32_t next = static_cast<uint32_t>(class_.size());
      of_[id] = class_.try_emplace(signature(*operations[id], id), next).first->second;
    }
  }
  uint32_t count() const noexcept { return static_cast<uint32_t>(class_.size()); }
  uint32_t of(uint32_t id) const noexcept { return of_[id]; }

 private:
  bool hidden(const Operation& o) const {
    const bool stores = o.opcode == wire::Opcode::kPut || o.opcode == wire::Opcode::kAppend ||
                        o.opcode == wire::Opcode::kPrepend;
    if (!stores || o.value.empty() || o.ttl_ms != 0) return false;
    // Counting makes other values of numbers.
    if (counts_ && (concatenates_ || number(o.value))) return false;
    if (!concatenates_) return !shown_.contains(o.value);
    return shown_text_.find(o.value) == std::string::npos;
  }

  static bool number(const std::string& text) noexcept {
    return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  }

  static std::string signature(const Operation& o, uint32_t id) {
    std::string s(1, static_cast<char>(o.opcode));
    if (o.ttl_ms != 0) return s + "at" + std::to_string(id);  // its time makes it another one
    for (const uint64_t n : {uint64_t{o.item_flags}, o.expected_version, o.delta, o.initial,
                             uint64_t{o.create ? 1u : 0u}}) {
      s += std::to_string(n) + ',';
    }
    return s + "=" + o.value;
  }

  std::deque<Operation> copies_;
  std::map<std::string, bool> shown_;
  std::string shown_text_;
  bool concatenates_ = false;
  bool counts_ = false;
  std::map<std::string, uint32_t> class_;
  std::vector<uint32_t> of_;
};

class KeyChecker {
 public:
  KeyChecker(std::vector<const Operation*> operations, const CheckOptions& options,
             uint64_t* configurations_max)
      : operations_(std::move(operations)),
        options_(options),
        configurations_max_(configurations_max),
        classes_(&operations_),
        model_(options.model, operations_),
        unanswered_(classes_.count()) {}

  Verdict run() {
    struct Event {
      uint64_t time_ns;
      bool reply;
      uint32_t id;
    };
    std::vector<Event> events;
    for (uint32_t id = 0; id < operations_.size(); ++id) {
      events.push_back({operations_[id]->invoke_ns, false, id});
      if (operations_[id]->answered()) events.push_back({operations_[id]->return_ns, true, id});
    }
    // Invocations first where times are equal: that allows more, so a coarse clock is no error.
    std::ranges::sort(events, [](const Event& a, const Event& b) {
      if (a.time_ns != b.time_ns) return a.time_ns < b.time_ns;
      return a.reply != b.reply ? b.reply : a.id < b.id;
    });
    now_ = {Configuration{}};
    for (const Event& e : events) {
      if (!e.reply) {
        begin(e.id);
        continue;
      }
      const Verdict verdict = on_reply(e.id);
      if (verdict != Verdict::kLinearizable) return verdict;
    }
    return Verdict::kLinearizable;
  }

  std::string& explanation() noexcept { return explanation_; }

 private:
  const Operation& operation(uint32_t id) const noexcept { return *operations_[id]; }

  void begin(uint32_t id) {
    if (operation(id).answered()) {
      under_way_.push_back(id);
    } else {
      unanswered_[classes_.of(id)].push_back(id);
    }
  }

  /// Keeps the configurations in which `id` has taken effect, having tried everything under way
  /// before it.
  Verdict on_reply(uint32_t id) {
    Set reached;
    std::vector<Configuration> after;
    for (Configuration& c : now_) {
      take_observers(&c);
      if (contains(c.replied, id)) {
        after.push_back(std::move(c));
      } else {
        reached.add(std::move(c));
      }
    }
    Set explained;
    for (Configuration& c : after) {
      erase(&c.replied, id);
      explained.add(std::move(c));
    }
    for (size_t i = 0; i < reached.end(); ++i) {
      if (reached.dead(i)) continue;
      if (reached.size() + explained.size() > options_.configurations_max) return undecided(id);
      const Configuration from = reached.at(i);
      for (const uint32_t next : under_way_) {
        if (!contains(from.replied, next) && !comes_later(from, next)) {
          try_next(from, next, id, &reached, &explained);
        }
      }
      for (const OperationIds& alike : unanswered_) {
        const auto next = std::ranges::find_if(
            alike, [&](uint32_t other) { return !contains(from.unanswered, other); });
        if (next != alike.end()) try_next(from, *next, id, &reached, &explained);
      }
    }
    *configurations_max_ =
        std::max<uint64_t>(*configurations_max_, reached.size() + explained.size());
    if (explained.size() == 0) return wrong(id);
    now_ = explained.take();
    std::erase(under_way_, id);
    recent_.push_back(id);
    if (recent_.size() > kRecent) recent_.erase(recent_.begin());
    forget_common();
    return Verdict::kLinearizable;
  }

  void try_next(const Configuration& from, uint32_t next, uint32_t replying, Set* reached,
                Set* explained) {
    const Operation& o = operation(next);
    const ItemModel::Successors successors = model_.step(from.state, o);
    for (uint32_t i = 0; i < successors.count; ++i) {
      Configuration to = from;
      to.state = successors.state[i];
      if (!o.answered() && to.state == from.state) continue;  // it changed nothing: not needed
      insert(o.answered() ? &to.replied : &to.unanswered, next);
      take_observers(&to);
      if (contains(to.replied, replying)) {
        erase(&to.replied, replying);
        explained->add(std::move(to));
      } else {
        reached->add(std::move(to));
      }
    }
  }

  /// What only observes, and fits the state, loses nothing by taking effect at once: whatever order
  /// explains the rest later, explains it with these here as well.
  void take_observers(Configuration* c) {
    for (const uint32_t id : under_way_) {
      if (contains(c->replied, id)) continue;
      const ItemModel::Successors s = model_.step(c->state, operation(id));
      if (s.count == 1 && s.state[0] == c->state) insert(&c->replied, id);
    }
  }

  /// Versions of one log are in the order in which its mutations took effect.
  bool comes_later(const Configuration& c, uint32_t id) const {
    const uint64_t version = given_version(id);
    if (version == 0) return false;
    return std::ranges::any_of(under_way_, [&](uint32_t other) {
      const uint64_t v = given_version(other);
      return v != 0 && v < version && (v ^ version) >> log::kLsnBits == 0 &&
             !contains(c.replied, other);
    });
  }
  uint64_t given_version(uint32_t id) const noexcept {
    const Operation& o = operation(id);
    return wire::is_mutation(o.opcode) && o.status == wire::Status::kOk ? o.version : 0;
  }

  /// An unanswered operation that took effect in every configuration is over.
  void forget_common() {
    const OperationIds candidates = now_.front().unanswered;
    for (const uint32_t id : candidates) {
      const auto has = [id](const Configuration& c) { return contains(c.unanswered, id); };
      if (!std::ranges::all_of(now_, has)) continue;
      for (Configuration& c : now_) erase(&c.unanswered, id);
      std::erase(unanswered_[classes_.of(id)], id);
    }
  }

  Verdict undecided(uint32_t id) {
    explanation_ = "too many possible orders (more than " +
                   std::to_string(options_.configurations_max) + ") at\n  " +
                   describe(operation(id)) + "\n";
    return Verdict::kUndecided;
  }

  Verdict wrong(uint32_t id) {
    std::string& text = explanation_;
    text = "no order explains\n  " + describe(operation(id)) + "\npossible before it:\n";
    for (size_t i = 0; i < now_.size() && i < 8; ++i) {
      text += "  " + model_.describe(now_[i].state) + "\n";
    }
    text += "replies before it, oldest first:\n";
    for (const uint32_t r : recent_) text += "  " + describe(operation(r)) + "\n";
    text += "under way:\n";
    for (const uint32_t u : under_way_) {
      if (u != id) text += "  " + describe(operation(u)) + "\n";
    }
    text += "without reply:\n";
    for (const OperationIds& alike : unanswered_) {
      for (size_t i = 0; i < alike.size() && i < 4; ++i) {
        text += "  " + describe(operation(alike[i])) + "\n";
      }
    }
    return Verdict::kNotLinearizable;
  }

  static constexpr size_t kRecent = 8;

  std::vector<const Operation*> operations_;
  const CheckOptions& options_;
  uint64_t* configurations_max_;
  std::string explanation_;
  const Classes classes_;
  ItemModel model_;
  std::vector<Configuration> now_;
  OperationIds under_way_;                // their replies are still to come
  std::vector<OperationIds> unanswered_;  // by class; began and may take effect
  OperationIds recent_;                   // replied last
};

/// Operations by key, in order of names so that the report does not depend on hashing, and there by
/// invocation.
struct Keys {
  std::map<std::string_view, std::vector<const Operation*>> operations;
  std::deque<Operation> altered;

  Keys(const History& history, CheckReport* report) {
    for (const Operation& o : history) {
      const Operation* judged = &o;
      if (o.answered() && o.status == wire::Status::kInternal) {
        // The server does not say whether anything came of it.
        judged = &altered.emplace_back(o);
        altered.back().return_ns = kNever;
      }
      if (ItemModel::says_nothing(*judged)) {
        ++report->ignored;
        continue;
      }
      ++report->operations;
      report->unanswered += judged->answered() ? 0 : 1;
      operations[o.key].push_back(judged);
    }
    for (auto& [key, list] : operations) {
      std::ranges::sort(list, {},
                        [](const Operation* o) { return std::pair(o->invoke_ns, o->return_ns); });
    }
    report->keys = operations.size();
  }
};

}  // namespace

CheckReport check_linearizable(const History& history, const CheckOptions& options) {
  CheckReport report;
  Keys keys(history, &report);
  for (auto& [key, operations] : keys.operations) {
    KeyChecker checker(std::move(operations), options, &report.configurations_max);
    const Verdict verdict = checker.run();
    if (verdict == Verdict::kLinearizable) continue;
    // A key that is wrong says more than one that could not be decided before it.
    if (report.verdict == Verdict::kLinearizable || verdict == Verdict::kNotLinearizable) {
      report.verdict = verdict;
      report.key = key;
      report.explanation = std::move(checker.explanation());
    }
    if (verdict == Verdict::kNotLinearizable) break;
  }
  return report;
}

}  // namespace dinomo::sim
