// SPDX-License-Identifier: BSD-3-Clause
// What posting to a ConnectX costs the CPU: our send queue and our whole Queue, beside libmlx5's
// ibv_post_send() and ibv_wr_*(), in turns in one run.
//
//   mlx5_bench [--smoke] [--json FILE] [--rounds N] [--preload LIBRARY | --no-preload]
//
// Without --no-preload it starts itself again on a soft HCA in its own process, which is stepped
// outside of the clock: no other CPU takes lines away, and nothing of the device is in the figures;
// neither is what a write-combining store over PCIe would take. Figures are medians of
// measurements of 16 operations (with 1 or 16 doorbells) by the time stamp counter, less what
// reading the clock takes. "doorbell alone" is what no driver can do without: the record, the
// register with a WQE, and the two barriers, on memory of the program's own.
#include <dlfcn.h>
#include <unistd.h>
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "drivers/fabric/mlx5/mlx5_path.h"
#include "test/conformance/verbs_world.h"

namespace dinomo::fabric {
namespace {

constexpr uint32_t kBatchMax = 16;  // also the operations of one measurement
constexpr uint32_t kTurn = 64;      // measurements of a point in a row: rings are in the cache
constexpr uint64_t kTo = VerbsWorld::kRemoteBase + 4096;

enum class Kind { kInlineWrite, kRead, kCompareSwap };
constexpr std::array kKinds{Kind::kInlineWrite, Kind::kRead, Kind::kCompareSwap};
constexpr std::array kKindNames{"WRITE inline 8 B", "READ 64 B", "CAS"};

struct Options {
  bool smoke = false;
  bool no_preload = false;
  std::string json;
  std::string preload;
  uint32_t rounds = 500;
};

/// Carries out what was rung; on real hardware that takes time and no help.
void let_device_run() {
  using Step = void (*)();
  static const auto step = reinterpret_cast<Step>(::dlsym(RTLD_DEFAULT, "dinomo_softhca_step"));
  if (step != nullptr) {
    step();
  } else {
    ::usleep(20);
  }
}

uint64_t clock_ticks() {
  _mm_lfence();
  const uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
}

double ticks_per_ns() {
  const auto began = std::chrono::steady_clock::now();
  const uint64_t first = clock_ticks();
  while (std::chrono::steady_clock::now() - began < std::chrono::milliseconds(50)) {
  }
  return static_cast<double>(clock_ticks() - first) / 50e6;
}

/// A way of posting `count` operations with one doorbell, and of taking completions.
class Way {
 public:
  virtual ~Way() = default;
  virtual const char* name() const = 0;
  virtual void post(Kind kind, uint32_t count) = 0;
  virtual bool completes() const { return true; }
  /// Number of operations that completed.
  virtual uint32_t poll() = 0;
};

/// Our data path on a pair of its own.
struct Direct {
  Direct() {
    mlx5dv_qp ring{};
    mlx5dv_cq entries{};
    mlx5dv_obj object{};
    object.qp.in = world.qp.get();
    object.qp.out = &ring;
    object.cq.in = world.cq.get();
    object.cq.out = &entries;
    VerbsWorld::require(::mlx5dv_init_obj(&object, MLX5DV_OBJ_QP | MLX5DV_OBJ_CQ) == 0, "rings");
    cq = std::make_unique<mlx5::CompletionQueue>(entries);
    flame = std::make_unique<mlx5::BlueFlame>(
        mlx5::BlueFlame{static_cast<std::byte*>(ring.bf.reg), ring.bf.size, 0});
    pairs.emplace_back(ring, world.qp->qp_num, flame.get());
  }
  VerbsWorld world;
  std::unique_ptr<mlx5::CompletionQueue> cq;
  std::unique_ptr<mlx5::BlueFlame> flame;
  std::vector<mlx5::SendQueue> pairs;
};

class SendQueueWay final : public Way {
 public:
  const char* name() const override { return "own send queue"; }
  void post(Kind kind, uint32_t count) override {
    mlx5::SendQueue& sq = d_.pairs[0];
    const rdma::Remote to{kTo, d_.world.remote_region->rkey};
    const uint32_t lkey = d_.world.local_region->lkey;
    for (uint32_t i = 0; i < count; ++i) {
      switch (kind) {
        case Kind::kInlineWrite: sq.write_inline(to, object_bytes(value_), i); break;
        case Kind::kRead: sq.read(to, {d_.world.local, 64, lkey}, i); break;
        case Kind::kCompareSwap:
          sq.atomic(MLX5_OPCODE_ATOMIC_CS, to, 0, 0, {d_.world.local, 8, lkey}, i);
          break;
      }
    }
    sq.ring();
  }
  uint32_t poll() override {
    uint32_t done = 0;
    mlx5::CompletionQueue::Entry entry{};
    while (d_.cq->next(&entry)) {
      d_.pairs[0].retire(entry.index, mlx5::status_of_syndrome(entry.syndrome),
                         [&](uint64_t, Status s) { done += ok(s) ? 1 : 0; });
    }
    d_.cq->update();
    return done;
  }

 private:
  Direct d_;
  uint64_t value_ = 7;
};

struct NoOwner final : mlx5::PairOwner {
  void stop() noexcept override {}
};

/// Everything that a KN worker pays: checks, keys, slots, accounting, callbacks.
class QueueWay final : public Way {
 public:
  QueueWay() {
    keys_.add({d_.world.local, VerbsWorld::kBytes}, d_.world.local_region->lkey);
    const rdma::RdmaQueueConfig config{.depth = 64,
                                       .remote_address = VerbsWorld::kRemoteBase,
                                       .pool_bytes = VerbsWorld::kBytes,
                                       .rkey = d_.world.remote_region->rkey,
                                       .keys = &keys_,
                                       .landing = {d_.world.local + 8192, 65 * 8},
                                       .landing_lkey = d_.world.local_region->lkey};
    queue_ = std::make_unique<mlx5::Mlx5Queue>(
        config, mlx5::Mlx5Path(std::make_unique<NoOwner>(), d_.cq.get(), std::move(d_.flame),
                               std::move(d_.pairs)));
    for (Counted& c : completions_) {
      c.way = this;
      c.callback = [](Completion* done, Status s) noexcept {
        static_cast<Counted*>(done)->way->done_ += ok(s) ? 1 : 0;
      };
    }
  }
  const char* name() const override { return "own Queue"; }
  void post(Kind kind, uint32_t count) override {
    for (uint32_t i = 0; i < count; ++i) {
      Completion* c = &completions_[next_++ % kBatchMax];
      switch (kind) {
        case Kind::kInlineWrite:
          queue_->post_write(4096, object_bytes(value_), {}, Purpose::kLog, c);
          break;
        case Kind::kRead: queue_->post_read(4096, {d_.world.local, 64}, Purpose::kValue, c); break;
        case Kind::kCompareSwap:
          queue_->post_compare_swap(4096, 0, 0, &old_, Purpose::kControl, c);
          break;
      }
    }
    queue_->flush();
  }
  uint32_t poll() override {
    done_ = 0;
    queue_->poll(64);
    return done_;
  }

 private:
  struct Counted : Completion {
    QueueWay* way = nullptr;
  };
  Direct d_;
  rdma::LocalKeys keys_;
  std::unique_ptr<Queue> queue_;
  std::array<Counted, kBatchMax> completions_;
  uint64_t value_ = 7;
  uint64_t old_ = 0;
  uint32_t next_ = 0;
  uint32_t done_ = 0;
};

/// libmlx5: the last of a list asks for the completion, as ours do.
class LibraryWay : public Way {
 public:
  uint32_t poll() override {
    std::array<ibv_wc, kBatchMax> wc;
    const int n = ::ibv_poll_cq(world_.cq.get(), static_cast<int>(wc.size()), wc.data());
    uint32_t done = 0;
    for (int i = 0; i < n; ++i) {
      done += wc[static_cast<size_t>(i)].status == IBV_WC_SUCCESS ? posted_ : 0;
    }
    return done;
  }

 protected:
  VerbsWorld world_;
  uint64_t value_ = 7;
  uint32_t posted_ = 0;  // with each doorbell
};

class PostSendWay final : public LibraryWay {
 public:
  const char* name() const override { return "ibv_post_send"; }
  void post(Kind kind, uint32_t count) override {
    const uint32_t lkey = world_.local_region->lkey;
    const uint32_t rkey = world_.remote_region->rkey;
    for (uint32_t i = 0; i < count; ++i) {
      ibv_send_wr& wr = list_[i];
      const bool inlined = kind == Kind::kInlineWrite;
      pieces_[i] = {reinterpret_cast<uintptr_t>(
                        inlined ? reinterpret_cast<const std::byte*>(&value_) : world_.local),
                    kind == Kind::kRead ? 64u : 8u, lkey};
      wr.wr_id = i;
      wr.next = i + 1 < count ? &list_[i + 1] : nullptr;
      wr.sg_list = &pieces_[i];
      wr.num_sge = 1;
      wr.send_flags = (i + 1 == count ? IBV_SEND_SIGNALED : 0u) | (inlined ? IBV_SEND_INLINE : 0u);
      if (kind == Kind::kCompareSwap) {
        wr.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
        wr.wr.atomic = {kTo, 0, 0, rkey};
      } else {
        wr.opcode = inlined ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ;
        wr.wr.rdma = {kTo, rkey};
      }
    }
    ibv_send_wr* bad = nullptr;
    VerbsWorld::require(::ibv_post_send(world_.qp.get(), list_.data(), &bad) == 0, "post");
    posted_ = count;
  }

 private:
  std::array<ibv_send_wr, kBatchMax> list_{};
  std::array<ibv_sge, kBatchMax> pieces_{};
};

class WorkRequestWay final : public LibraryWay {
 public:
  const char* name() const override { return "ibv_wr_*"; }
  void post(Kind kind, uint32_t count) override {
    const uint32_t lkey = world_.local_region->lkey;
    const uint32_t rkey = world_.remote_region->rkey;
    const auto local = reinterpret_cast<uintptr_t>(world_.local);
    ibv_qp_ex* qp = ::ibv_qp_to_qp_ex(world_.qp.get());
    ::ibv_wr_start(qp);
    for (uint32_t i = 0; i < count; ++i) {
      qp->wr_id = i;
      qp->wr_flags = i + 1 == count ? IBV_SEND_SIGNALED : 0;
      switch (kind) {
        case Kind::kInlineWrite:
          ::ibv_wr_rdma_write(qp, rkey, kTo);
          ::ibv_wr_set_inline_data(qp, &value_, sizeof value_);
          break;
        case Kind::kRead:
          ::ibv_wr_rdma_read(qp, rkey, kTo);
          ::ibv_wr_set_sge(qp, lkey, local, 64);
          break;
        case Kind::kCompareSwap:
          ::ibv_wr_atomic_cmp_swp(qp, rkey, kTo, 0, 0);
          ::ibv_wr_set_sge(qp, lkey, local, 8);
          break;
      }
    }
    VerbsWorld::require(::ibv_wr_complete(qp) == 0, "post");
    posted_ = count;
  }
};

/// What is left of posting when nothing is built, counted or remembered.
class DoorbellWay final : public Way {
 public:
  const char* name() const override { return "doorbell alone"; }
  bool completes() const override { return false; }
  void post(Kind, uint32_t) override {
    mlx5::device_store(&record_, ++rung_);
    mlx5::write_combining_barrier();
    for (size_t i = 0; i < wqe_.size(); ++i) mlx5::device_store(&halves_[half_ + i], wqe_[i]);
    mlx5::write_combining_barrier();
    half_ ^= wqe_.size();
  }
  uint32_t poll() override { return 0; }

 private:
  alignas(64) uint32_t record_ = 0;
  alignas(64) std::array<uint64_t, 8> wqe_{};
  alignas(64) std::array<uint64_t, 16> halves_{};
  size_t half_ = 0;
  uint32_t rung_ = 0;
};

struct Point {
  Way* way = nullptr;
  Kind kind = Kind::kRead;
  uint32_t batch = 1;  // operations with a doorbell
  std::vector<uint64_t> post_ticks{};
  std::vector<uint64_t> poll_ticks{};
};

void measure(Point& p) {
  const uint64_t t0 = clock_ticks();
  for (uint32_t posted = 0; posted < kBatchMax; posted += p.batch) p.way->post(p.kind, p.batch);
  const uint64_t t1 = clock_ticks();
  p.post_ticks.push_back(t1 - t0);
  if (!p.way->completes()) return;
  let_device_run();
  const uint64_t t2 = clock_ticks();
  uint32_t done = p.way->poll();
  const uint64_t t3 = clock_ticks();
  const bool at_once = done == kBatchMax;
  for (int i = 0; i < 10'000 && done != kBatchMax; ++i) {
    let_device_run();
    done += p.way->poll();
  }
  VerbsWorld::require(done == kBatchMax, "completion");
  if (at_once) p.poll_ticks.push_back(t3 - t2);
}

double median(std::vector<uint64_t>& ticks) {
  if (ticks.empty()) return 0;
  std::ranges::sort(ticks);
  return static_cast<double>(ticks[ticks.size() / 2]);
}

int run(const Options& o) {
  const double per_ns = ticks_per_ns();
  SendQueueWay send_queue;
  QueueWay queue;
  PostSendWay post_send;
  WorkRequestWay work_requests;
  DoorbellWay doorbell;
  const std::array<Way*, 4> ways{&send_queue, &queue, &post_send, &work_requests};
  std::vector<Point> points;
  for (const Kind kind : kKinds) {
    for (const uint32_t batch : {1u, kBatchMax}) {
      for (Way* way : ways) points.push_back({way, kind, batch});
    }
  }
  points.push_back({&doorbell, Kind::kRead, 1});
  std::vector<uint64_t> nothing;
  for (uint32_t round = 0; round < o.rounds; ++round) {
    for (Point& p : points) {
      for (uint32_t i = 0; i < kTurn; ++i) measure(p);
    }
    const uint64_t began = clock_ticks();
    nothing.push_back(clock_ticks() - began);
  }
  const double clock = median(nothing);
  nlohmann::json all = nlohmann::json::array();
  std::printf("%-18s %5s  %-16s %12s %14s\n", "operation", "batch", "by", "post ns/op",
              "poll ns/op");
  for (Point& p : points) {
    const double post = (median(p.post_ticks) - clock) / per_ns / kBatchMax;
    const double poll =
        p.way->completes() ? (median(p.poll_ticks) - clock) / per_ns / kBatchMax : 0;
    const char* kind = p.way->completes() ? kKindNames[static_cast<size_t>(p.kind)] : "-";
    std::printf("%-18s %5u  %-16s %12.1f %14.1f\n", kind, p.batch, p.way->name(), post, poll);
    all.push_back({{"operation", kind},
                   {"batch", p.batch},
                   {"by", p.way->name()},
                   {"post_ns_per_op", post},
                   {"poll_ns_per_op", poll}});
  }
  std::printf("reading the clock: %.1f ns (taken off)\n", clock / per_ns);
  if (!o.json.empty()) std::ofstream(o.json) << all.dump(1) << "\n";
  return 0;
}

/// The library beside this program in the build directory.
std::string default_preload() {
  std::array<char, 4096> self{};
  if (::readlink("/proc/self/exe", self.data(), self.size() - 1) <= 0) return {};
  std::string path = self.data();
  path.resize(path.rfind('/'));
  return path + "/../../drivers/fabric/mlx5/softhca/libdinomo_softhca_preload.so";
}

void start_again(const Options& o, char** argv) {
  const std::string library = o.preload.empty() ? default_preload() : o.preload;
  if (::access(library.c_str(), R_OK) != 0) {
    throw std::runtime_error("there is no library '" + library + "': give --preload\n");
  }
  if (std::getenv("DINOMO_SOFTHCA_STEPPED") != nullptr) {
    throw std::runtime_error("'" + library + "' has no stepped device: build it anew\n");
  }
  ::setenv("LD_PRELOAD", library.c_str(), 1);
  ::setenv("DINOMO_SOFTHCA_STEPPED", "1", 1);
  ::execv("/proc/self/exe", argv);
  throw std::runtime_error("cannot start again\n");
}

}  // namespace
}  // namespace dinomo::fabric

int main(int argc, char** argv) {
  try {
    dinomo::fabric::Options o;
    CLI::App app("What posting to a ConnectX costs, by our driver and by libmlx5.");
    app.add_flag("--smoke", o.smoke, "smallest size");
    app.add_flag("--no-preload", o.no_preload, "use the ConnectX of this machine");
    app.add_option("--preload", o.preload, "the soft HCA's library");
    app.add_option("--json", o.json, "write the figures there as well");
    app.add_option("--rounds", o.rounds, "turns of 64 measurements of each point");
    CLI11_PARSE(app, argc, argv);
    if (o.smoke) o.rounds = 2;
    const bool preloaded = ::dlsym(RTLD_DEFAULT, "dinomo_softhca_step") != nullptr;
    if (!preloaded && !o.no_preload) dinomo::fabric::start_again(o, argv);
    return dinomo::fabric::run(o);
  } catch (const std::exception& e) {
    std::cerr << "mlx5_bench: " << e.what();
    return 1;
  }
}
