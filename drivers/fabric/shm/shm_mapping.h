// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "common/bytes.h"
#include "drivers/fabric/shm/shm_rendezvous.h"
#include "pool/format.h"

namespace dinomo::fabric::shm {

/// The pool in this process's address space; shared by the Fabric and its queues.
struct Mapping {
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  MutableBytes memory;
  pool::Persistence persistence = pool::Persistence::kPageCache;
  FileDescriptor file;  // holds the slot's lock
};

}  // namespace dinomo::fabric::shm
