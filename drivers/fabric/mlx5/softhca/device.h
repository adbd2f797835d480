// SPDX-License-Identifier: BSD-3-Clause
// The soft HCA: a model of what a ConnectX does for RC queue pairs. It reads doorbell registers,
// doorbell records and send WQEs in mlx5's binary format (<infiniband/mlx5dv.h>), executes them on
// registered memory, and writes CQEs. It knows no driver: both sides meet in memory only.
//
// As strict as hardware: a QP runs only after its register moved; index, QPN, size and opcode of
// every WQE are checked; keys are checked for variant, protection domain, range and access at every
// WQE; an error completes the WQE, flushes the rest and stops the QP. What a driver does wrong and
// hardware would forgive or punish much later is recorded as a finding.
// Not modelled: receive queues, UD, DC, SRQ, memory windows, CQE compression, timing.
//
// Threads: control functions from any thread, step() from one at a time; they exclude each other.
#pragma once

#include <infiniband/mlx5dv.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "drivers/fabric/mlx5/softhca/faults.h"

namespace dinomo::softhca {

inline constexpr uint32_t kBlockBytes = 64;  // WQEBB
inline constexpr uint32_t kSegmentBytes = 16;

/// Syndromes' vendor part, as seen in field logs of ConnectX firmware.
enum class Vendor : uint8_t {
  kNone = 0,
  kLocalKey = 0x51,
  kMalformed = 0x68,
  kRetryExceeded = 0x81,
  kRemoteKey = 0x88,
  kInvalidRequest = 0x8a,
  kFlushed = 0xf4,
};

enum class QpState : uint8_t { kReset, kInit, kReadyToReceive, kReadyToSend, kError };

struct Mkey {
  uint32_t key = 0;  // index << 8 | variant; lkey and rkey
  uint32_t pd = 0;
  uint64_t iova = 0;
  uint64_t bytes = 0;
  std::byte* host = nullptr;  // where iova lies for the device
  uint32_t access = 0;        // IBV_ACCESS_*
  bool live = false;
};

struct CqConfig {
  std::byte* buffer = nullptr;
  uint32_t entries = 0;  // power of two
  uint32_t entry_bytes = 64;
  __be32* doorbell_record = nullptr;  // [0] consumer index
  bool ignore_overrun = false;
};

struct QpConfig {
  uint32_t pd = 0;
  std::byte* ring = nullptr;  // send queue
  uint32_t blocks = 0;        // of 64 bytes, power of two
  __be32* doorbell_record = nullptr;
  std::byte* bf_register = nullptr;
  uint32_t bf_bytes = 256;  // of each of the two halves; 0: only 8-byte doorbells
  uint32_t cqn = 0;
  uint32_t user_index = 0;
  bool signal_all = false;
  bool scatter_to_cqe = false;  // small answers come inside of the CQE, and nowhere else
};

struct QpCounters {
  uint64_t executed = 0;
  uint64_t doorbells = 0;
  uint64_t blueflames = 0;  // doorbells that carried a whole, right WQE
};

/// What a driver did that real hardware answers with a hang or a corruption.
struct Finding {
  std::string what;
  uint32_t qpn = 0;
  uint16_t index = 0;
};
std::string to_string(const Finding& finding);

struct Cq {
  uint32_t cqn = 0;
  CqConfig config;
  uint32_t produced = 0;
  bool broken = false;  // overrun
};

/// One of the two halves of a BlueFlame register and what was seen there last.
struct BfHalf {
  std::byte* at = nullptr;
  uint64_t seen = 0;
};

struct DoorbellRegister {
  BfHalf halves[2];
  uint32_t half_bytes = 0;
  uint32_t users = 0;
  int last_half = -1;
};

struct PendingCqe {
  uint64_t due_round = 0;
  uint8_t opcode = 0;
  uint16_t index = 0;
  uint32_t bytes = 0;
  uint8_t syndrome = 0;  // 0: success
  Vendor vendor = Vendor::kNone;
  bool scattered = false;
  std::array<std::byte, 64> answer{};
};

struct LocalPiece {
  std::byte* at;
  uint32_t bytes;
};

/// A WQE that has been checked and is being carried out.
struct Operation {
  bool active = false;
  uint8_t opcode = 0;
  uint16_t index = 0;
  bool signalled = false;
  uint32_t bytes = 0;
  uint32_t done = 0;
  std::byte* remote = nullptr;
  uint64_t swap_add = 0;
  uint64_t compare = 0;
  uint64_t fetched = 0;
  bool loaded = false;  // HCA-only atomicity: between load and store
  std::vector<LocalPiece> local;
  bool scattered = false;
  std::array<std::byte, 64> answer{};  // what goes into the CQE
};

/// A READ whose response is fetched again, as after a lost packet.
struct ReadAgain {
  uint64_t due_round = 0;
  const std::byte* remote = nullptr;
  std::vector<LocalPiece> local;
};

/// Eight bytes that a WRITE changed and that no READ has pushed out of the buffers yet.
struct Unflushed {
  std::byte* at;
  uint64_t before;
};

struct Qp {
  uint32_t qpn = 0;
  QpConfig config;
  QpState state = QpState::kReset;
  uint32_t peer_qpn = 0;
  uint32_t access = 0;  // what the peer may do through this QP
  bool link_up = true;
  DoorbellRegister* doorbell = nullptr;
  bool rung = false;
  uint16_t consumed = 0;  // next WQEBB to execute
  QpCounters counters;
  Operation operation;
  std::deque<PendingCqe> pending;
  std::deque<ReadAgain> again;
  std::vector<Unflushed> unflushed;  // by WRITEs that came in through this QP
};

class Device {
 public:
  explicit Device(const Faults& faults = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Control path: what the kernel driver and the firmware do. Numbers that do not exist are ignored
  // or answered with nothing.
  uint32_t make_pd();
  Mkey register_memory(uint32_t pd, uint64_t iova, uint64_t bytes, void* host, uint32_t access);
  /// The key's rights from the next WQE on; no effect of an earlier one is still to come.
  bool change_access(uint32_t key, uint32_t access);
  void deregister(uint32_t key);
  uint32_t make_cq(const CqConfig& config);
  void destroy_cq(uint32_t cqn);
  uint32_t make_qp(const QpConfig& config);
  void destroy_qp(uint32_t qpn);
  bool move_qp(uint32_t qpn, QpState state);
  bool set_peer(uint32_t qpn, uint32_t peer_qpn);
  bool set_access(uint32_t qpn, uint32_t access);
  QpState state(uint32_t qpn);
  QpCounters counters(uint32_t qpn);

  // Faults on demand.
  void set_link(uint32_t qpn, bool up);
  /// Loses a random part of what was written and not flushed, in pieces of eight bytes. Returns how
  /// many pieces.
  uint64_t fail_power();

  // Engine.
  void start();  // runs step() in a thread of its own
  void stop();
  bool step();  // one round over all QPs; true if there was something to do
  std::vector<Finding> take_findings();

 private:
  friend class Executor;

  // engine.cc
  bool step_locked();
  bool look_at(DoorbellRegister& reg);
  void judge_halves(DoorbellRegister& reg, int changed);
  void check_blueflame(const BfHalf& half, uint32_t half_bytes, uint64_t word);
  bool advance(Qp& qp);
  bool run_wqes(Qp& qp, uint16_t producer);
  void flush(Qp& qp);
  void fail(Qp& qp, uint8_t opcode, uint16_t index, uint8_t syndrome, Vendor vendor);
  void complete(Qp& qp, const Operation& op);
  bool deliver(Qp& qp);
  bool write_cqe(Qp& qp, const PendingCqe& cqe);
  uint16_t producer(const Qp& qp) const noexcept;
  void finding(uint32_t qpn, uint16_t index, const char* what);

  Qp* find_qp(uint32_t qpn);
  DoorbellRegister* attach_register(std::byte* at, uint32_t half_bytes);
  void reset(Qp& qp);
  void drop_operation(Qp& qp) noexcept;

  std::mutex mutex_;
  std::atomic<uint32_t> control_waiting_{0};
  std::thread engine_;
  std::atomic<bool> stop_{false};

  uint32_t next_pd_ = 1;
  uint32_t next_cqn_ = 0x40;
  uint32_t next_qpn_ = 0x100;
  std::vector<Mkey> mkeys_{1};
  std::unordered_map<uint32_t, std::unique_ptr<Cq>> cqs_;
  std::unordered_map<uint32_t, std::unique_ptr<Qp>> qps_;
  std::vector<Qp*> order_;
  std::unordered_map<std::byte*, std::unique_ptr<DoorbellRegister>> registers_;
  std::vector<Finding> findings_;
  uint64_t round_ = 0;
  bool atomic_under_way_ = false;  // HCA-only atomicity: one is between load and store
  Faults faults_;
  Dice dice_;

  /// Holds the engine off for a control operation.
  class Control {
   public:
    explicit Control(Device& device) : device_(device) {
      device_.control_waiting_.fetch_add(1);
      device_.mutex_.lock();
    }
    ~Control() {
      device_.mutex_.unlock();
      device_.control_waiting_.fetch_sub(1);
    }
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

   private:
    Device& device_;
  };
};

}  // namespace dinomo::softhca
