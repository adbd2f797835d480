// SPDX-License-Identifier: BSD-3-Clause
// Answers as rte_telemetry wants them: dictionaries, arrays, and such within a dictionary.
#include <rte_telemetry.h>

#include <cerrno>
#include <mutex>

#include "app/common/telemetry.h"

namespace dinomo::app {

namespace {

using nlohmann::json;

std::mutex g_mutex;  // of g_observed, held while it answers
Observed* g_observed = nullptr;

std::string fitting(const json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.substr(0, RTE_TEL_MAX_STRING_LEN - 1);
}

bool fill_array(rte_tel_data* to, const json& values) {
  const bool numbers = !values.empty() && values.front().is_number();
  bool good = rte_tel_data_start_array(to, numbers ? RTE_TEL_U64_VAL : RTE_TEL_STRING_VAL) == 0;
  for (const json& value : values) {
    if (!good) return false;
    good = (numbers ? rte_tel_data_add_array_u64(to, value.get<uint64_t>())
                    : rte_tel_data_add_array_string(to, fitting(value).c_str())) == 0;
  }
  return good;
}

bool fill_dict(rte_tel_data* to, const json& object);

bool add_container(rte_tel_data* to, const std::string& name, const json& value) {
  rte_tel_data* inner = rte_tel_data_alloc();
  if (inner == nullptr) return false;
  const bool good = (value.is_array() ? fill_array(inner, value) : fill_dict(inner, value)) &&
                    rte_tel_data_add_dict_container(to, name.c_str(), inner, 0) == 0;
  if (!good) rte_tel_data_free(inner);
  return good;
}

bool fill_dict(rte_tel_data* to, const json& object) {
  rte_tel_data_start_dict(to);
  for (const auto& [name, value] : object.items()) {
    bool good = false;
    if (value.is_structured()) {
      good = add_container(to, name, value);
    } else if (value.is_number_unsigned() || value.is_number_integer()) {
      good = rte_tel_data_add_dict_u64(to, name.c_str(), value.get<uint64_t>()) == 0;
    } else {
      good = rte_tel_data_add_dict_string(to, name.c_str(), fitting(value).c_str()) == 0;
    }
    if (!good) return false;
  }
  return true;
}

int on_command(const char* command, const char* parameter, rte_tel_data* to) {
  const std::scoped_lock lock(g_mutex);
  if (g_observed == nullptr) return -ENODEV;
  // An exception must not reach DPDK's thread.
  try {
    const json answer = answer_telemetry(*g_observed, command, parameter ? parameter : "");
    if (answer.is_null()) return -EINVAL;
    return (answer.is_array() ? fill_array(to, answer) : fill_dict(to, answer)) ? 0 : -E2BIG;
  } catch (const std::exception&) {
    return -EINVAL;
  }
}

}  // namespace

void register_with_dpdk(Observed* observed) {
  {
    const std::scoped_lock lock(g_mutex);
    g_observed = observed;
  }
  if (observed == nullptr) return;
  for (const TelemetryCommand& c : telemetry_commands()) {
    rte_telemetry_register_cmd(c.name, on_command, c.help);
  }
}

}  // namespace dinomo::app
