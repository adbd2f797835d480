// SPDX-License-Identifier: BSD-3-Clause
// Lines of the mailboxes: made, checked. Pure functions.
#pragma once

#include "common/bytes.h"
#include "common/hash.h"
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

}  // namespace dinomo::pool
