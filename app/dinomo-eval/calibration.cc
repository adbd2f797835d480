// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/calibration.h"

#include <fmt/format.h>
#include <libconfig.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "pool/format.h"

namespace dinomo::eval {

namespace {

constexpr uint64_t kNsMax = 1'000'000'000;

constexpr CalibrationKnob kKnobs[] = {
    {"cpu_percent", &Calibration::cpu_percent, 1, 10'000},
    {"kn_threads", &Calibration::kn_threads, 1, 8},
    {"dpm_threads", &Calibration::dpm_threads, 1, 64},
    {"one_way_ns", &Calibration::one_way_ns, 1, kNsMax},
    {"jitter_ns", &Calibration::jitter_ns, 0, kNsMax},
    {"verb_ns", &Calibration::verb_ns, 0, kNsMax},
    {"bytes_per_us", &Calibration::bytes_per_us, 1, 1'000'000},
    {"atomic_ns", &Calibration::atomic_ns, 0, kNsMax},
    {"turn_ns", &Calibration::turn_ns, 1, kNsMax},
    {"datagram_ns", &Calibration::datagram_ns, 0, kNsMax},
    {"get_value_ns", &Calibration::get_value_ns, 1, kNsMax},
    {"get_shortcut_ns", &Calibration::get_shortcut_ns, 1, kNsMax},
    {"get_miss_ns", &Calibration::get_miss_ns, 1, kNsMax},
    {"put_ns", &Calibration::put_ns, 1, kNsMax},
    {"post_ns", &Calibration::post_ns, 0, kNsMax},
    {"merge_ns", &Calibration::merge_ns, 1, kNsMax},
    {"ms_call_ns", &Calibration::ms_call_ns, 0, kNsMax},
    {"ms_query_ns", &Calibration::ms_query_ns, 0, kNsMax},
    {"ms_alloc_ns", &Calibration::ms_alloc_ns, 0, kNsMax},
    {"ms_gc_entry_ns", &Calibration::ms_gc_entry_ns, 0, kNsMax},
    {"ms_recycle_ns", &Calibration::ms_recycle_ns, 0, kNsMax},
    {"ms_gc_sleep_ns", &Calibration::ms_gc_sleep_ns, 0, kNsMax},
    {"idle_sleep_ns", &Calibration::idle_sleep_ns, 1, kNsMax},
    {"scale", &Calibration::scale, 1, 1'000'000},
    {"keys", &Calibration::keys, 1000, uint64_t{1} << 36},
    {"value_bytes", &Calibration::value_bytes, 16, 1000},
    {"cache_mib", &Calibration::cache_mib, 1, 1 << 20},
    {"pool_mib", &Calibration::pool_mib, 1, 1 << 30},
    {"clover_pool_mib", &Calibration::clover_pool_mib, 1, 1 << 30},
    {"zipf_percent", &Calibration::zipf_percent, 0, 1000},
    {"warm_per_key", &Calibration::warm_per_key, 0, 1000},
    {"counted_per_key", &Calibration::counted_per_key, 1, 1000},
    {"depth", &Calibration::depth, 1, 100'000},
    {"replicated", &Calibration::replicated, 0, pool::kReplicatedKeysMax},
};

Status set(Calibration* calibration, const std::string& name, uint64_t value, std::string* why) {
  const auto* knob = std::ranges::find_if(kKnobs, [&](const auto& k) { return name == k.name; });
  if (knob == std::end(kKnobs)) {
    *why = fmt::format("there is no '{}'", name);
    return Status::kInvalid;
  }
  if (value < knob->min || value > knob->max) {
    *why = fmt::format("{} = {}: give {} to {}", name, value, knob->min, knob->max);
    return Status::kInvalid;
  }
  calibration->*knob->value = value;
  return Status::kOk;
}

Status take_settings(const config_t& file, const std::string& path, Calibration* calibration,
                     std::string* why) {
  const config_setting_t* root = config_root_setting(&file);
  std::set<std::string> seen;
  for (int i = 0; i < config_setting_length(root); ++i) {
    const config_setting_t* setting = config_setting_get_elem(root, static_cast<unsigned>(i));
    const std::string name = config_setting_name(setting);
    const auto value = static_cast<uint64_t>(config_setting_get_int64(setting));
    if (!ok(set(calibration, name, value, why))) {
      *why = fmt::format("{}:{}: {}", path, config_setting_source_line(setting), *why);
      return Status::kInvalid;
    }
    seen.insert(name);
  }
  for (const CalibrationKnob& k : kKnobs) {
    if (seen.contains(k.name)) continue;
    *why = fmt::format("{}: '{}' is missing: every number has to be given", path, k.name);
    return Status::kInvalid;
  }
  return Status::kOk;
}

}  // namespace

std::span<const CalibrationKnob> calibration_knobs() noexcept { return kKnobs; }

Status read_calibration(const std::string& path, Calibration* calibration, std::string* why) {
  config_t file;
  config_init(&file);
  Status status = Status::kInvalid;
  if (config_read_file(&file, path.c_str()) == CONFIG_TRUE) {
    status = take_settings(file, path, calibration, why);
  } else if (config_error_type(&file) == CONFIG_ERR_FILE_IO) {
    *why = fmt::format("cannot read the calibration '{}'", path);
  } else {
    *why = fmt::format("{}:{}: {}", path, config_error_line(&file), config_error_text(&file));
  }
  config_destroy(&file);
  return status;
}

Status set_calibration(Calibration* calibration, const std::string& assignment, std::string* why) {
  const size_t equals = assignment.find('=');
  uint64_t value = 0;
  if (equals != std::string::npos) {
    const char* const end = assignment.data() + assignment.size();
    const auto parsed = std::from_chars(assignment.data() + equals + 1, end, value);
    if (parsed.ec == std::errc{} && parsed.ptr == end) {
      return set(calibration, assignment.substr(0, equals), value, why);
    }
  }
  *why = fmt::format("'{}': give NAME=NUMBER", assignment);
  return Status::kInvalid;
}

}  // namespace dinomo::eval
