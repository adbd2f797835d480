// SPDX-License-Identifier: BSD-3-Clause
// Lines of the mailboxes: made, checked, copied to and from memory that another node uses too. A
// line travels as one 64-byte write, but only 8-byte atomicity is relied upon; the checksum covers
// the rest.
#pragma once

#include <array>
#include <atomic>
#include <bit>

#include "common/bytes.h"
#include "common/hash.h"
#include "common/status.h"
#include "pool/format.h"

namespace dinomo::pool {

inline uint64_t mailbox_checksum(const MailboxLine& line) noexcept {
  return checksum64(object_bytes(line).subspan(sizeof line.checksum));
}

inline MailboxLine make_request(uint64_t sequence, uint32_t incarnation, MailboxOpcode opcode,
                                const std::array<uint64_t, 5>& args) noexcept {
  MailboxLine line{};
  line.sequence = sequence;
  line.incarnation = incarnation;
  line.opcode = static_cast<uint16_t>(opcode);
  line.args = args;
  line.checksum = mailbox_checksum(line);
  return line;
}

/// True if `line` is complete and answers the request `sequence`.
inline bool answers(const MailboxLine& line, uint64_t sequence) noexcept {
  return line.sequence == sequence && line.checksum == mailbox_checksum(line);
}

inline MailboxLine make_reply(const MailboxLine& request, Status status,
                              const std::array<uint64_t, 5>& args) noexcept {
  MailboxLine line{};
  line.sequence = request.sequence;
  line.incarnation = request.incarnation;
  line.opcode = request.opcode;
  line.status = static_cast<uint16_t>(status);
  line.args = args;
  line.checksum = mailbox_checksum(line);
  return line;
}

/// Complete, and not the zeros of a cell that was never used.
inline bool mailbox_line_valid(const MailboxLine& line) noexcept {
  return line.sequence != 0 && line.checksum == mailbox_checksum(line);
}

/// A copy of a line that another node may be writing; check it before use.
inline MailboxLine load_mailbox_line(MailboxLine* from) noexcept {
  std::array<uint64_t, 8> words;
  auto* source = reinterpret_cast<uint64_t*>(from);
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = std::atomic_ref<uint64_t>(source[i]).load(std::memory_order_acquire);
  }
  return std::bit_cast<MailboxLine>(words);
}

/// Writes a line in place: the words that make it valid (sequence, checksum) come last.
inline void store_mailbox_line(MailboxLine* to, const MailboxLine& line) noexcept {
  const auto words = std::bit_cast<std::array<uint64_t, 8>>(line);
  auto* target = reinterpret_cast<uint64_t*>(to);
  for (size_t i = words.size(); i-- > 0;) {
    std::atomic_ref<uint64_t>(target[i]).store(words[i], std::memory_order_release);
  }
}

}  // namespace dinomo::pool
