// SPDX-License-Identifier: BSD-3-Clause
// Words and sentences for outcomes.
#include "sdk/include/dinomo/dinomo.h"
#include "wire/codec.h"

namespace {

namespace wire = dinomo::wire;

// The header repeats numbers of the protocol, so that users need no other header.
static_assert(DINOMO_NOT_FOUND == static_cast<int>(wire::Status::kNotFound));
static_assert(DINOMO_EXISTS == static_cast<int>(wire::Status::kExists));
static_assert(DINOMO_NOT_STORED == static_cast<int>(wire::Status::kNotStored));
static_assert(DINOMO_NOT_NUMBER == static_cast<int>(wire::Status::kNotNumber));
static_assert(DINOMO_BAD_REQUEST == static_cast<int>(wire::Status::kBadRequest));
static_assert(DINOMO_TOO_LARGE == static_cast<int>(wire::Status::kTooLarge));
static_assert(DINOMO_UNSUPPORTED == static_cast<int>(wire::Status::kUnsupported));
static_assert(DINOMO_BAD_VERSION == static_cast<int>(wire::Status::kBadVersion));
static_assert(DINOMO_NO_SPACE == static_cast<int>(wire::Status::kNoSpace));
static_assert(DINOMO_INTERNAL == static_cast<int>(wire::Status::kInternal));
static_assert(DINOMO_PING == static_cast<int>(wire::Opcode::kPing));
static_assert(DINOMO_STATS == static_cast<int>(wire::Opcode::kStats));
static_assert(DINOMO_GET == static_cast<int>(wire::Opcode::kGet));
static_assert(DINOMO_PUT == static_cast<int>(wire::Opcode::kPut));
static_assert(DINOMO_DELETE == static_cast<int>(wire::Opcode::kDelete));
static_assert(DINOMO_ADD == static_cast<int>(wire::Opcode::kAdd));
static_assert(DINOMO_REPLACE == static_cast<int>(wire::Opcode::kReplace));
static_assert(DINOMO_CAS == static_cast<int>(wire::Opcode::kCas));
static_assert(DINOMO_APPEND == static_cast<int>(wire::Opcode::kAppend));
static_assert(DINOMO_PREPEND == static_cast<int>(wire::Opcode::kPrepend));
static_assert(DINOMO_INCR == static_cast<int>(wire::Opcode::kIncr));
static_assert(DINOMO_DECR == static_cast<int>(wire::Opcode::kDecr));
static_assert(DINOMO_TOUCH == static_cast<int>(wire::Opcode::kTouch));
static_assert(DINOMO_GET_AND_TOUCH == static_cast<int>(wire::Opcode::kGetAndTouch));

}  // namespace

extern "C" {

const char* dinomo_status_name(dinomo_status status) {
  switch (status) {
    case DINOMO_TIMEOUT: return "timeout";
    case DINOMO_UNREACHABLE: return "unreachable";
    case DINOMO_OUTCOME_UNKNOWN: return "outcome-unknown";
    case DINOMO_CLOSED: return "closed";
    case DINOMO_FULL: return "full";
    case DINOMO_INVALID: return "invalid";
    case DINOMO_UNKNOWN_HOST: return "unknown-host";
    case DINOMO_NO_RESOURCE: return "no-resource";
    default: break;
  }
  const auto number = static_cast<unsigned>(status);
  if (number >= 128) return "unknown";
  return wire::status_name(static_cast<wire::Status>(number));
}

const char* dinomo_status_text(dinomo_status status) {
  switch (status) {
    case DINOMO_OK: return "done";
    case DINOMO_NOT_FOUND: return "there is no such key, or it has expired";
    case DINOMO_EXISTS: return "there is an item already, or it has another version";
    case DINOMO_NOT_STORED: return "there is no item to replace or to append to";
    case DINOMO_NOT_NUMBER: return "the value is no decimal number of 64 bits";
    case DINOMO_BAD_REQUEST: return "the server did not understand the request: report a defect";
    case DINOMO_TOO_LARGE: return "key, value or result is too large: 250 and 61440 bytes at most";
    case DINOMO_UNSUPPORTED: return "the server is of an older release and lacks this operation";
    case DINOMO_BAD_VERSION:
      return "the server speaks another protocol version: update one of both";
    case DINOMO_NO_SPACE: return "the pool is full: delete something or enlarge it";
    case DINOMO_INTERNAL: return "the server failed: see its log";
    case DINOMO_TIMEOUT:
      return "no answer within the deadline; a mutation may or may not have been carried out";
    case DINOMO_UNREACHABLE: return "nobody listens at the server's address: is dinomo-kn running?";
    case DINOMO_OUTCOME_UNKNOWN:
      return "the servers have forgotten what became of the mutation; it may or may not have been "
             "carried out: read the key";
    case DINOMO_CLOSED: return "the client was closed; a mutation may or may not be carried out";
    case DINOMO_FULL: return "too many operations in flight: poll and fetch results first";
    case DINOMO_INVALID: return "an argument is wrong; nothing was sent";
    case DINOMO_UNKNOWN_HOST: return "the server's name cannot be resolved";
    case DINOMO_NO_RESOURCE: return "no socket, or no route to the server";
  }
  return "an outcome that this release does not know: update the library";
}

const char* dinomo_version(void) { return DINOMO_VERSION; }

}  // extern "C"
