// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace dinomo::app {

void notify_service(const std::string& message) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || (*path != '/' && *path != '@')) return;
  const size_t bytes = std::strlen(path);
  if (bytes >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, bytes);
  if (*path == '@') address.sun_path[0] = 0;  // an abstract name
  const int to = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (to < 0) return;
  ::sendto(to, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bytes));
  ::close(to);
}

}  // namespace dinomo::app
