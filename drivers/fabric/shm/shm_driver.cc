// SPDX-License-Identifier: BSD-3-Clause
// Registration of the shm driver: the pool is mapped into the KN's address space; the default on
// one host, and for memory shared over CXL.
#include "drivers/fabric/shm/shm_fabric.h"
#include "drivers/fabric/shm/shm_target.h"
#include "fabric/driver.h"

namespace dinomo::fabric::shm {

namespace {

const Driver shm_driver = {
    .name = "shm",
    .help = "pool mapped into the KN; target is the path of dinomo-dpm's rendezvous socket",
    .connect = &ShmFabric::connect,
    .listen = &ShmTarget::listen,
};

DINOMO_FABRIC_DRIVER(shm_driver);

}  // namespace

}  // namespace dinomo::fabric::shm
