// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/softhca/uverbs.h"

#include <rdma/ib_user_verbs.h>
#include <rdma/mlx5-abi.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dinomo::softhca {

namespace {

constexpr uint64_t kGuid = 0x0002'c903'00a0'b0c0;
constexpr uint32_t kVendorMellanox = 0x15b3;
constexpr uint32_t kPartConnectX7 = 0x1021;

template <class T>
const T& as(const std::byte* bytes) noexcept {
  return *reinterpret_cast<const T*>(bytes);
}

/// Copies what fits at `offset` into a response whose size the caller of the command gave.
template <class T>
void put(std::vector<std::byte>* response, size_t offset, const T& value,
         size_t limit = sizeof(T)) {
  if (offset >= response->size()) return;
  std::memcpy(response->data() + offset, &value,
              std::min({sizeof value, limit, response->size() - offset}));
}

ib_uverbs_query_device_resp device_limits() {
  ib_uverbs_query_device_resp r{};
  r.fw_ver = uint64_t{28} << 32 | 31 << 16 | 1014;
  r.node_guid = htobe64(kGuid);
  r.sys_image_guid = r.node_guid;
  r.max_mr_size = ~uint64_t{0};
  r.page_size_cap = 0xffff'f000;
  r.vendor_id = kVendorMellanox;
  r.vendor_part_id = kPartConnectX7;
  r.max_qp = 1 << 17;
  r.max_qp_wr = 1 << 15;
  r.max_sge = 30;
  r.max_sge_rd = 30;
  r.max_cq = 1 << 16;
  r.max_cqe = (1 << 22) - 1;
  r.max_mr = 1 << 24;
  r.max_pd = 1 << 23;
  r.max_qp_rd_atom = 16;
  r.max_qp_init_rd_atom = 16;
  r.max_res_rd_atom = 1 << 20;
  r.atomic_cap = IBV_ATOMIC_HCA;
  r.max_pkeys = 128;
  r.local_ca_ack_delay = 16;
  r.phys_port_cnt = 1;
  return r;
}

QpState to_state(uint32_t state) noexcept {
  switch (state) {
    case IBV_QPS_INIT: return QpState::kInit;
    case IBV_QPS_RTR: return QpState::kReadyToReceive;
    case IBV_QPS_RTS: return QpState::kReadyToSend;
    case IBV_QPS_RESET: return QpState::kReset;
    default: return QpState::kError;
  }
}

/// The kernel's table for RC: what must be named at each transition.
bool transition_allowed(QpState from, uint32_t to, uint32_t mask) noexcept {
  constexpr uint32_t kInit = IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
  constexpr uint32_t kRtr = IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
  constexpr uint32_t kRts = IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                            IBV_QP_MAX_QP_RD_ATOMIC;
  const auto named = [mask](uint32_t required) { return (mask & required) == required; };
  if (to == IBV_QPS_RESET || to == IBV_QPS_ERR) return true;
  if (from == QpState::kReset) return to == IBV_QPS_INIT && named(kInit);
  if (from == QpState::kInit) return to == IBV_QPS_INIT || (to == IBV_QPS_RTR && named(kRtr));
  if (from == QpState::kReadyToReceive) return to == IBV_QPS_RTS && named(kRts);
  return from == QpState::kReadyToSend && to == IBV_QPS_RTS;
}

}  // namespace

bool Command::parse(std::span<const std::byte> bytes, Command* command) {
  if (bytes.size() < sizeof(ib_uverbs_cmd_hdr) + sizeof(uint64_t)) return false;
  const auto& header = as<ib_uverbs_cmd_hdr>(bytes.data());
  command->number = header.command & IB_USER_VERBS_CMD_COMMAND_MASK;
  command->extended = (header.command & IB_USER_VERBS_CMD_FLAG_EXTENDED) != 0;
  const std::byte* after = bytes.data() + sizeof header;
  if (!command->extended) {
    command->core = after;
    std::memcpy(&command->response_address, after, sizeof(uint64_t));
    command->response_bytes = size_t{header.out_words} * 4;
    command->core_response_bytes = command->response_bytes;
    return true;
  }
  if (bytes.size() < sizeof header + sizeof(ib_uverbs_ex_cmd_hdr)) return false;
  const auto& more = as<ib_uverbs_ex_cmd_hdr>(after);
  command->core = after + sizeof more;
  command->driver = command->core + size_t{header.in_words} * 8;
  command->response_address = more.response;
  command->core_response_bytes = size_t{header.out_words} * 8;
  command->response_bytes = command->core_response_bytes + size_t{more.provider_out_words} * 8;
  return true;
}

namespace {

/// What a create command answers, in the form it was asked in: the kernel's part and mlx5's.
template <class Extended, class Plain, class Driver>
void put_made(const Command& c, const Plain& plain, const Driver& driver,
              std::vector<std::byte>* response) {
  if (!c.extended) {
    put(response, 0, plain);
    put(response, sizeof plain, driver);
    return;
  }
  Extended extended{};
  extended.base = plain;
  extended.response_length = sizeof extended;
  put(response, 0, extended, c.core_response_bytes);
  put(response, c.core_response_bytes, driver);
}

const mlx5_ib_create_cq& cq_part(const Command& c) noexcept {
  return as<mlx5_ib_create_cq>(c.extended ? c.driver : c.core + sizeof(ib_uverbs_create_cq));
}
uint32_t cq_entries(const Command& c) noexcept {
  // The library sends the number less one.
  return 1 + (c.extended ? as<ib_uverbs_ex_create_cq>(c.core).cqe
                         : as<ib_uverbs_create_cq>(c.core).cqe);
}
const mlx5_ib_create_qp& qp_part(const Command& c) noexcept {
  return as<mlx5_ib_create_qp>(c.extended ? c.driver : c.core + sizeof(ib_uverbs_create_qp));
}
uint64_t receive_ring_bytes(const mlx5_ib_create_qp& m) noexcept {
  return m.rq_wqe_count == 0 ? 0 : uint64_t{m.rq_wqe_count} << m.rq_wqe_shift;
}

}  // namespace

std::vector<UserMemory> Command::memory() const {
  switch (number) {
    case IB_USER_VERBS_CMD_REG_MR: {
      const auto& q = as<ib_uverbs_reg_mr>(core);
      return {{q.start, q.length}};
    }
    case IB_USER_VERBS_CMD_CREATE_CQ: {
      const auto& m = cq_part(*this);
      return {{m.buf_addr, uint64_t{cq_entries(*this)} * m.cqe_size}, {m.db_addr, 8}};
    }
    case IB_USER_VERBS_CMD_CREATE_QP: {
      const auto& m = qp_part(*this);
      return {{m.buf_addr, receive_ring_bytes(m) + uint64_t{m.sq_wqe_count} * kBlockBytes},
              {m.db_addr, 8}};
    }
    default: return {};
  }
}

Session::Session(Device& device, AddressSpace& space, std::byte* uar_pages)
    : device_(device), space_(space), uar_pages_(uar_pages) {}

Session::~Session() { destroy_all(); }

void Session::destroy_all() {
  for (const auto& [handle, qpn] : qps_) device_.destroy_qp(qpn);
  for (const auto& [handle, cqn] : cqs_) device_.destroy_cq(cqn);
  for (const auto& [handle, key] : keys_) device_.deregister(key);
  qps_.clear();
  cqs_.clear();
  keys_.clear();
}

int Session::handle(const Command& c, std::vector<std::byte>* response) {
  response->assign(c.response_bytes, std::byte{0});
  switch (c.number) {
    case IB_USER_VERBS_CMD_GET_CONTEXT: return get_context(c, response);
    case IB_USER_VERBS_CMD_QUERY_DEVICE: return query_device(c, response);
    case IB_USER_VERBS_CMD_QUERY_PORT: return query_port(response);
    case IB_USER_VERBS_CMD_ALLOC_PD: return alloc_pd(response);
    case IB_USER_VERBS_CMD_DEALLOC_PD: return 0;
    case IB_USER_VERBS_CMD_REG_MR: return register_memory(c, response);
    case IB_USER_VERBS_CMD_REREG_MR: return change_memory(c, response);
    case IB_USER_VERBS_CMD_DEREG_MR: return deregister(c);
    case IB_USER_VERBS_CMD_CREATE_CQ: return create_cq(c, response);
    case IB_USER_VERBS_CMD_DESTROY_CQ: return destroy_cq(c);
    case IB_USER_VERBS_CMD_CREATE_QP: return create_qp(c, response);
    case IB_USER_VERBS_CMD_MODIFY_QP: return modify_qp(c);
    case IB_USER_VERBS_CMD_DESTROY_QP: return destroy_qp(c);
    default: return -ENOSYS;
  }
}

int Session::get_context(const Command&, std::vector<std::byte>* response) {
  ib_uverbs_get_context_resp r{};
  r.num_comp_vectors = 1;  // async_fd: filled in by who has the process's descriptors
  mlx5_ib_alloc_ucontext_resp m{};
  m.qp_tab_size = 1 << 18;
  m.bf_reg_size = kBfRegisterBytes;
  m.tot_bfregs = kStaticUarPages * 2;  // not 0: registers by mmap(), not by ioctl()
  m.cache_line_size = 64;
  m.max_sq_desc_sz = 1024;
  m.max_rq_desc_sz = 512;
  m.max_send_wqebb = 1 << 15;
  m.max_recv_wr = 1 << 15;
  m.max_srq_recv_wr = (1 << 15) - 1;
  m.num_ports = 1;
  m.response_length = sizeof m;
  m.cqe_version = 1;
  m.cmds_supp_uhw = MLX5_USER_CMDS_SUPP_UHW_QUERY_DEVICE;
  m.eth_min_inline = MLX5_USER_INLINE_MODE_NONE;
  m.log_uar_size = 12;
  m.num_uars_per_page = 1;
  m.num_dyn_bfregs = kDynamicUarPages * 2;
  put(response, 0, r);
  put(response, sizeof r, m);
  return 0;
}

int Session::query_device(const Command& c, std::vector<std::byte>* response) {
  if (!c.extended) {
    put(response, 0, device_limits());
    return 0;
  }
  ib_uverbs_ex_query_device_resp r{};
  r.base = device_limits();
  r.response_length = sizeof r;
  put(response, 0, r, c.core_response_bytes);
  return 0;
}

int Session::query_port(std::vector<std::byte>* response) {
  ib_uverbs_query_port_resp r{};
  r.state = IBV_PORT_ACTIVE;
  r.max_mtu = IBV_MTU_4096;
  r.active_mtu = IBV_MTU_4096;
  r.gid_tbl_len = 1;
  r.max_msg_sz = 1u << 30;
  r.pkey_tbl_len = 1;
  r.active_width = 2;
  r.active_speed = 64;
  r.phys_state = 5;
  r.link_layer = IBV_LINK_LAYER_ETHERNET;
  put(response, 0, r);
  return 0;
}

int Session::alloc_pd(std::vector<std::byte>* response) {
  ib_uverbs_alloc_pd_resp r{};
  r.pd_handle = next_handle_++;
  mlx5_ib_alloc_pd_resp m{};
  m.pdn = pds_[r.pd_handle] = device_.make_pd();
  put(response, 0, r);
  put(response, sizeof r, m);
  return 0;
}

int Session::register_memory(const Command& c, std::vector<std::byte>* response) {
  const auto& q = as<ib_uverbs_reg_mr>(c.core);
  const auto pd = pds_.find(q.pd_handle);
  if (pd == pds_.end()) return -EINVAL;
  std::byte* host = space_.translate(q.start, q.length);
  if (host == nullptr) return -EFAULT;
  const Mkey key = device_.register_memory(pd->second, q.hca_va, q.length, host, q.access_flags);
  ib_uverbs_reg_mr_resp r{};
  r.mr_handle = next_handle_++;
  r.lkey = key.key;
  r.rkey = key.key;
  keys_[r.mr_handle] = key.key;
  put(response, 0, r);
  return 0;
}

int Session::change_memory(const Command& c, std::vector<std::byte>* response) {
  const auto& q = as<ib_uverbs_rereg_mr>(c.core);
  const auto key = keys_.find(q.mr_handle);
  if (key == keys_.end()) return -EINVAL;
  if (q.flags != IBV_REREG_MR_CHANGE_ACCESS) return -EOPNOTSUPP;
  if (!device_.change_access(key->second, q.access_flags)) return -EINVAL;
  ib_uverbs_rereg_mr_resp r{};
  r.lkey = key->second;
  r.rkey = key->second;
  put(response, 0, r);
  return 0;
}

int Session::deregister(const Command& c) {
  const auto key = keys_.find(as<ib_uverbs_dereg_mr>(c.core).mr_handle);
  if (key == keys_.end()) return -EINVAL;
  device_.deregister(key->second);
  keys_.erase(key);
  return 0;
}

int Session::create_cq(const Command& c, std::vector<std::byte>* response) {
  const mlx5_ib_create_cq& m = cq_part(c);
  CqConfig config;
  config.entries = cq_entries(c);
  config.entry_bytes = m.cqe_size;
  config.buffer = space_.translate(m.buf_addr, uint64_t{config.entries} * m.cqe_size);
  config.doorbell_record = reinterpret_cast<__be32*>(space_.translate(m.db_addr, 8));
  if (config.buffer == nullptr || config.doorbell_record == nullptr) return -EFAULT;
  ib_uverbs_create_cq_resp r{};
  r.cq_handle = next_handle_++;
  r.cqe = config.entries - 1;
  mlx5_ib_create_cq_resp d{};
  d.cqn = cqs_[r.cq_handle] = device_.make_cq(config);
  put_made<ib_uverbs_ex_create_cq_resp>(c, r, d, response);
  return 0;
}

int Session::destroy_cq(const Command& c) {
  const auto cq = cqs_.find(as<ib_uverbs_destroy_cq>(c.core).cq_handle);
  if (cq == cqs_.end()) return -EINVAL;
  device_.destroy_cq(cq->second);
  cqs_.erase(cq);
  return 0;
}

/// A register by its index: of a thread domain as asked, else the next static one that may carry
/// BlueFlame (number 0 may not; each page has two and two fast-path ones behind them).
std::byte* Session::bf_register(uint32_t flags, uint32_t wanted, uint32_t* index) {
  uint32_t page = 0;
  uint32_t in_page = 0;
  if ((flags & MLX5_QP_FLAG_BFREG_INDEX) != 0) {
    page = kStaticUarPages + wanted / 2;
    in_page = wanted % 2;
    *index = wanted;
  } else {
    do {
      next_register_ = (next_register_ + 1) % (kStaticUarPages * 4);
    } while (next_register_ == 0 || next_register_ % 4 >= 2);
    page = next_register_ / 4;
    in_page = next_register_ % 4;
    *index = next_register_;
  }
  if (page >= kUarPages) return nullptr;
  return uar_pages_ + uint64_t{page} * kUarPageBytes + 0x800 + uint64_t{in_page} * kBfRegisterBytes;
}

int Session::create_qp(const Command& c, std::vector<std::byte>* response) {
  const auto fill = [&](const auto& q, QpConfig* config, ib_uverbs_create_qp_resp* r) {
    const auto pd = pds_.find(q.pd_handle);
    const auto cq = cqs_.find(q.send_cq_handle);
    if (pd == pds_.end() || cq == cqs_.end()) return false;
    config->pd = pd->second;
    config->cqn = cq->second;
    config->signal_all = q.sq_sig_all != 0;
    r->max_send_wr = q.max_send_wr;
    r->max_send_sge = q.max_send_sge;
    r->max_recv_wr = q.max_recv_wr;
    r->max_recv_sge = q.max_recv_sge;
    r->max_inline_data = q.max_inline_data;
    return true;
  };
  QpConfig config;
  ib_uverbs_create_qp_resp r{};
  const bool known = c.extended ? fill(as<ib_uverbs_ex_create_qp>(c.core), &config, &r)
                                : fill(as<ib_uverbs_create_qp>(c.core), &config, &r);
  if (!known) return -EINVAL;
  const mlx5_ib_create_qp& m = qp_part(c);
  const uint64_t receive_bytes = receive_ring_bytes(m);
  std::byte* rings =
      space_.translate(m.buf_addr, receive_bytes + uint64_t{m.sq_wqe_count} * kBlockBytes);
  config.doorbell_record = reinterpret_cast<__be32*>(space_.translate(m.db_addr, 8));
  if (rings == nullptr || config.doorbell_record == nullptr) return -EFAULT;
  config.ring = rings + receive_bytes;
  config.blocks = m.sq_wqe_count;
  config.user_index = m.uidx;
  // As the kernel decides it for requesters.
  config.scatter_to_cqe = (m.flags & MLX5_QP_FLAG_SCATTER_CQE) != 0 &&
                          (config.signal_all || (m.flags & MLX5_QP_FLAG_ALLOW_SCATTER_CQE) != 0);
  mlx5_ib_create_qp_resp d{};
  config.bf_register = bf_register(m.flags, m.bfreg_index, &d.bfreg_index);
  config.bf_bytes = kBfRegisterBytes / 2;
  if (config.bf_register == nullptr) return -EINVAL;
  r.qp_handle = next_handle_++;
  r.qpn = qps_[r.qp_handle] = device_.make_qp(config);
  put_made<ib_uverbs_ex_create_qp_resp>(c, r, d, response);
  return 0;
}

int Session::modify_qp(const Command& c) {
  const auto& q = as<ib_uverbs_modify_qp>(c.core);  // the extended form begins alike
  const auto qp = qps_.find(q.qp_handle);
  if (qp == qps_.end()) return -EINVAL;
  const uint32_t qpn = qp->second;
  if ((q.attr_mask & IBV_QP_STATE) != 0 &&
      !transition_allowed(device_.state(qpn), q.qp_state, q.attr_mask)) {
    return -EINVAL;
  }
  if ((q.attr_mask & IBV_QP_ACCESS_FLAGS) != 0) device_.set_access(qpn, q.qp_access_flags);
  if ((q.attr_mask & IBV_QP_DEST_QPN) != 0) device_.set_peer(qpn, q.dest_qp_num);
  if ((q.attr_mask & IBV_QP_STATE) != 0) device_.move_qp(qpn, to_state(q.qp_state));
  return 0;
}

int Session::destroy_qp(const Command& c) {
  const auto qp = qps_.find(as<ib_uverbs_destroy_qp>(c.core).qp_handle);
  if (qp == qps_.end()) return -EINVAL;
  device_.destroy_qp(qp->second);
  qps_.erase(qp);
  return 0;
}

}  // namespace dinomo::softhca
