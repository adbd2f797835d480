// SPDX-License-Identifier: BSD-3-Clause
// Opening and closing clients, and what can be asked about one.
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <string>

#include "sdk/c_api/handle.h"

namespace {

using dinomo::Status;
using dinomo::client::Client;
using dinomo::client::Counters;
using dinomo::client::UdpTransport;
using dinomo::sdk::Slot;
using dinomo::sdk::Target;

thread_local std::string open_error;

dinomo_status fail(dinomo_status status, std::string text) {
  open_error = std::move(text);
  return status;
}

uint64_t random_seed() noexcept {
  uint64_t seed = 1;
  (void)getrandom(&seed, sizeof seed, GRND_NONBLOCK);  // of jitter; 1 is as good, if less varied
  return seed;
}

dinomo::client::Options to_options(const dinomo_options& given) noexcept {
  dinomo::client::Options out;
  const auto take = [](uint32_t* field, uint32_t value) {
    if (value != 0) *field = value;
  };
  take(&out.in_flight_max, given.in_flight_max);
  take(&out.deadline_ms, given.deadline_ms);
  take(&out.mutation_window, given.mutation_window);
  take(&out.pack_max, given.pack_max);
  take(&out.retry_min_ms, given.retry_min_ms);
  take(&out.retry_max_ms, given.retry_max_ms);
  // One that is given alone takes the other's default along.
  if (given.retry_max_ms == 0) out.retry_max_ms = std::max(out.retry_max_ms, out.retry_min_ms);
  if (given.retry_min_ms == 0) out.retry_min_ms = std::min(out.retry_max_ms, out.retry_min_ms);
  out.seed = random_seed();
  return out;
}

const char* wrong_option(const dinomo_options& o) noexcept {
  if (std::ranges::any_of(o.reserved, [](uint32_t word) { return word != 0; })) {
    return "options.reserved has to be 0: zero the struct before filling it";
  }
  if (o.in_flight_max > 65'000) return "options.in_flight_max is over 65000";
  if (o.retry_max_ms != 0 && o.retry_min_ms > o.retry_max_ms) {
    return "options.retry_min_ms is over options.retry_max_ms";
  }
  return nullptr;
}

std::string default_servers() {
  const char* const named = std::getenv("DINOMO_SERVER");
  return named != nullptr && *named != '\0' ? named : "127.0.0.1";
}

dinomo_status build(const std::string& servers, const dinomo_options& given, dinomo_client* c) {
  const auto seeds = dinomo::client::parse_addresses(servers, DINOMO_DEFAULT_PORT);
  if (!seeds && seeds.error() == Status::kNotFound) {
    return fail(DINOMO_UNKNOWN_HOST, "'" + servers + "': unknown host");
  }
  if (!seeds) {
    return fail(DINOMO_INVALID, "'" + servers + "': expected host[:port], or several with commas");
  }
  UdpTransport::Options sockets;
  if (given.socket_buffer_bytes != 0) sockets.socket_buffer_bytes = given.socket_buffer_bytes;
  auto transport = UdpTransport::create(sockets);
  if (!transport) return fail(DINOMO_NO_RESOURCE, "cannot open a UDP socket");
  c->transport = std::move(*transport);
  const dinomo::client::Options options = to_options(given);
  auto client = Client::create(c->transport.get(), &c->clock, options, *seeds);
  if (!client && client.error() == Status::kInvalid) {
    return fail(DINOMO_INVALID, "more than 16 servers are named: a few are enough");
  }
  if (!client) return fail(DINOMO_NO_RESOURCE, "'" + servers + "': no route to any server");
  c->client = std::move(*client);
  c->slots.resize(options.in_flight_max);
  c->free.reserve(options.in_flight_max);
  for (uint32_t i = options.in_flight_max; i-- > 0;) {
    c->slots[i].owner = c;
    c->free.push_back(i);
  }
  return DINOMO_OK;
}

struct CounterField {
  const char* name;
  uint64_t Counters::* field;
};

constexpr std::array<CounterField, 18> kCounters{{
    {"submitted", &Counters::submitted},
    {"completed", &Counters::completed},
    {"transmissions", &Counters::transmissions},
    {"timeouts", &Counters::timeouts},
    {"gave_up", &Counters::gave_up},
    {"outcome_unknown", &Counters::outcome_unknown},
    {"wrong_owner", &Counters::wrong_owner},
    {"moving", &Counters::moving},
    {"busy", &Counters::busy},
    {"no_session", &Counters::no_session},
    {"followed", &Counters::followed},
    {"late_replies", &Counters::late_replies},
    {"malformed", &Counters::malformed},
    {"hellos", &Counters::hellos},
    {"sessions", &Counters::sessions},
    {"ring_fetches", &Counters::ring_fetches},
    {"datagrams_out", &Counters::datagrams_out},
    {"datagrams_in", &Counters::datagrams_in},
}};
// One that is added to Counters has to be named here, too.
static_assert(sizeof(Counters) == kCounters.size() * sizeof(uint64_t));

}  // namespace

extern "C" {

dinomo_status dinomo_open(const char* servers, const dinomo_options* options, dinomo_client** out) {
  if (out == nullptr) return fail(DINOMO_INVALID, "dinomo_open: `out` is NULL");
  *out = nullptr;
  const dinomo_options given = options != nullptr ? *options : dinomo_options{};
  if (const char* const wrong = wrong_option(given)) return fail(DINOMO_INVALID, wrong);
  auto c = std::make_unique<dinomo_client>();
  const dinomo_status status =
      build(servers != nullptr ? servers : default_servers(), given, c.get());
  if (status == DINOMO_OK) *out = c.release();
  return status;
}

const char* dinomo_open_error(void) { return open_error.c_str(); }

void dinomo_close(dinomo_client* client) {
  if (client == nullptr) return;
  const std::unique_ptr<dinomo_client> c(client);
  c->in_callback = c->closing = true;
  for (Slot& slot : c->slots) {
    if (slot.target != Target::kCallback) continue;
    dinomo_result result{};
    result.status = DINOMO_CLOSED;
    result.opcode = slot.opcode;
    result.tag = slot.tag;
    const dinomo_callback callback = slot.callback;
    slot.target = Target::kFree;
    callback(slot.context, &result);
  }
}

int dinomo_fd(const dinomo_client* client) { return client->transport->descriptor(); }

uint64_t dinomo_idle_ns(const dinomo_client* client, uint64_t limit_ns) {
  return client->client->idle_ns(limit_ns);
}

uint32_t dinomo_ring_version(const dinomo_client* client) { return client->client->ring().version; }

size_t dinomo_kns(const dinomo_client* client, dinomo_kn* out, size_t max) {
  const auto& ring = client->client->ring();
  if (ring.version == 0) return 0;
  std::map<uint16_t, uint32_t> owned;
  for (const uint16_t owner : ring.owner) ++owned[owner];
  for (size_t i = 0; i < std::min(max, ring.kns.size()); ++i) {
    const dinomo::wire::KnRecord& kn = ring.kns[i];
    out[i] = {};
    out[i].kn_slot = kn.kn_slot;
    out[i].workers = kn.workers;
    out[i].udp_port_base = kn.udp_port_base;
    out[i].state = kn.state;
    out[i].partitions = owned[kn.kn_slot];
    const std::string text = dinomo::client::Address{kn.address, kn.udp_port_base}.text();
    static_assert(sizeof(dinomo_kn::address) >
                  sizeof("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"));
    std::memcpy(out[i].address, text.data(), std::min(text.size(), sizeof out[i].address - 1));
  }
  return ring.kns.size();
}

const char* dinomo_counter_name(size_t index) {
  return index < kCounters.size() ? kCounters[index].name : nullptr;
}

uint64_t dinomo_counter(const dinomo_client* client, size_t index) {
  if (index >= kCounters.size()) return 0;
  return client->client->counters().*kCounters[index].field;
}

}  // extern "C"
