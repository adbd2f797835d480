// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace dinomo::ingress::ethdev {

/// Waits until EAL's interrupt thread has finished what it was doing when this was called: handlers
/// that ran, and its look at the handles of ports that came or went. At most a second.
///
/// Poll mode drivers with a peer (memif) connect and disconnect in that thread, without a lock
/// against the thread that stops or closes the port or ends EAL; without this both free the same
/// memory. Start-up and shutdown code, not for lcores that serve.
void wait_for_interrupt_thread() noexcept;

}  // namespace dinomo::ingress::ethdev
