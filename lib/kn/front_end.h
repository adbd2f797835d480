// SPDX-License-Identifier: BSD-3-Clause
// Another protocol on a worker's lcore: it brings operations to the engine and gets their outcomes,
// under the same order for each key, the same durability and the same cache as native requests.
//
//   each turn of the worker:
//     native requests, front_end.take() -> front_end.receive() -> commit, fabric -> replies ->
//     front_end.flush()
//                          worker.submit(op, tag) ...      on_reply(tag, ...) at any of these
//                          places
//
// Contract:
//   - submit() is called from receive() only. Key and value of the operation stay where they are
//     and what they are until its on_reply(): the engine copies neither.
//   - Every submitted operation gets exactly one on_reply(), within the engine's write_wait_us or
//     the fabric's time-outs; it may come from inside submit(), from a later turn, or while the
//     worker detaches from its DPM. It must not submit().
//   - There are no sessions: an operation submitted twice is carried out twice.
//   - Only keys that this worker owns are served; others are answered WRONG_OWNER with HintExtras,
//     which name the KN and the worker to relay to, and its wire::KnRecord as the value (none if
//     the ring does not know it yet).
//   - `status`, `extras` and `value` are as in replies of the native protocol (doc/protocol.md),
//   and
//     valid during the call only. To get ItemExtras with a GET, or with a mutation instead of
//     VersionExtras, set wire::kWantItem. INTERNAL is the answer to a mutation whose lease or log
//     was lost before it was known to be durable: it may or may not have taken effect.
//
// Thread rule: one object a worker, everything on the worker's lcore. Nothing may block or throw.
#pragma once

#include <cstdint>

#include "common/bytes.h"
#include "wire/format.h"

namespace dinomo::ingress {
struct Datagram;
}

namespace dinomo::kn {

class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  /// A datagram that came to the front end's port (Worker::set_front_end); it is the front end's to
  /// give back to the ingress. Nothing may be submitted here.
  virtual void take(const ingress::Datagram& datagram) noexcept = 0;
  /// Takes what has come in, a bounded burst, and submits it. Returns work done (0: nothing was to
  /// do).
  virtual uint32_t receive() noexcept = 0;
  virtual void on_reply(uint64_t tag, wire::Status status, Bytes extras, Bytes value) noexcept = 0;
  /// The end of the turn: sends what was answered.
  virtual void flush() noexcept = 0;
  /// Something is under way that only receive() can notice: the lcore blocks briefly at most.
  virtual bool waiting() const noexcept = 0;
};

}  // namespace dinomo::kn
