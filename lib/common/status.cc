// SPDX-License-Identifier: BSD-3-Clause
#include "common/status.h"

namespace dinomo {

const char* status_name(Status s) noexcept {
  switch (s) {
    case Status::kOk: return "ok";
    case Status::kInProgress: return "in-progress";
    case Status::kNoResource: return "no-resource";
    case Status::kBusy: return "busy";
    case Status::kTimeout: return "timeout";
    case Status::kNotFound: return "not-found";
    case Status::kExists: return "exists";
    case Status::kInvalid: return "invalid";
    case Status::kOutOfRange: return "out-of-range";
    case Status::kStale: return "stale";
    case Status::kCorrupt: return "corrupt";
    case Status::kNoSpace: return "no-space";
    case Status::kUnsupported: return "unsupported";
    case Status::kVersion: return "unknown-version";
    case Status::kUnreachable: return "unreachable";
    case Status::kFenced: return "fenced";
    case Status::kNodeDown: return "node-down";
    case Status::kInternal: return "internal";
  }
  return "unknown";
}

}  // namespace dinomo
