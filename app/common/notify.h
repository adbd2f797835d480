// SPDX-License-Identifier: BSD-3-Clause
// Tells systemd (or whoever set NOTIFY_SOCKET) what a service does: sd_notify(3)'s protocol.
#pragma once

#include <string>

namespace dinomo::app {

/// One message such as "READY=1" or "STATUS=serving"; several lines are several assignments. Does
/// nothing where nobody listens. Never blocks.
void notify_service(const std::string& message);

/// From now on the service serves.
inline void notify_ready(const std::string& status) { notify_service("READY=1\nSTATUS=" + status); }

}  // namespace dinomo::app
