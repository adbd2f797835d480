// SPDX-License-Identifier: BSD-3-Clause
// What the file of a pool lies on: its directory, file system or device. Start-up code.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "common/status.h"

namespace dinomo::dpm {

std::string directory_of(const std::string& path);
Status status_of_errno(int error) noexcept;
/// For messages.
std::string mib(uint64_t bytes);

/// Before anything is made: the directory of `path` exists, is ours to write, and has room.
Status check_room(const std::string& path, uint64_t bytes, std::string* why);

/// True if the file's pages can be mapped so that a cache-line flush makes them durable.
bool is_dax(const std::string& path) noexcept;
bool is_memory_file_system(const std::string& path) noexcept;

/// Of a file: its size and blocks; of a directory: the names in it. DAX keeps a file's contents
/// through a power failure, not the name that it has had for less than a journal's commit.
bool make_durable(const std::string& path) noexcept;

/// Of a character device for persistent memory; 0: not known.
uint64_t device_bytes(const struct stat& info) noexcept;

}  // namespace dinomo::dpm
