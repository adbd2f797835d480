// SPDX-License-Identifier: BSD-3-Clause
// Keys and values are bytes: between them and arguments, files, terminals and JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "settings.h"

namespace dinomo::cli {

using json = nlohmann::ordered_json;

std::optional<std::string> from_hex(const std::string& text);
std::string to_hex(std::string_view bytes);

/// Under `name` if they are UTF-8, else in hexadecimal under `name`_hex.
void add_bytes(json* to, const std::string& name, std::string_view bytes);

std::string human_ns(uint64_t ns);

/// The value that the command line names: an argument, a file or standard input. An exit status.
int read_value(const Settings& s, std::string* value);

/// To --output or, unless the output is JSON, to stdout. An exit status.
int write_value(const Settings& s, std::string_view value);

}  // namespace dinomo::cli
