// SPDX-License-Identifier: BSD-3-Clause
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

extern char** environ;

namespace dinomo::test {

namespace {

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) ends = {-1, -1};
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  void close_end(size_t i) {
    if (ends[i] >= 0) close(ends[i]);
    ends[i] = -1;
  }
};

// Reads what is there; false at the end of the stream.
bool take(int fd, std::string* to) {
  std::array<char, 65'536> buffer;
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n > 0) to->append(buffer.data(), static_cast<size_t>(n));
  return n > 0;
}

}  // namespace

std::string program_path(const char* variable) {
  const char* const path = std::getenv(variable);
  if (path != nullptr) return path;
  std::fprintf(stderr, "%s is not set: run this through meson test, or set it to the program\n",
               variable);
  std::exit(2);
}

Finished run_process(const std::vector<std::string>& arguments, const std::string& input,
                     int timeout_s) {
  Pipe in;
  Pipe out;
  Pipe err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  Finished finished;
  if (error != 0) return finished;
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  // Inputs of tests fit into a pipe; a program that reads none must not end the test.
  signal(SIGPIPE, SIG_IGN);
  if (!input.empty() && write(in.ends[1], input.data(), input.size()) < 0)
    finished.err = "no input";
  in.close_end(1);

  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_s);
  bool out_open = true;
  bool err_open = true;
  while ((out_open || err_open) && std::chrono::steady_clock::now() < until) {
    pollfd polls[] = {{out_open ? out.ends[0] : -1, POLLIN, 0},
                      {err_open ? err.ends[0] : -1, POLLIN, 0}};
    poll(polls, 2, 100);
    if (polls[0].revents != 0) out_open = take(out.ends[0], &finished.out);
    if (polls[1].revents != 0) err_open = take(err.ends[0], &finished.err);
  }
  if (out_open || err_open) kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

}  // namespace dinomo::test
