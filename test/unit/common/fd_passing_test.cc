// SPDX-License-Identifier: BSD-3-Clause
#include "common/fd_passing.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace dinomo {
namespace {

class FdPassing : public testing::Test {
 protected:
  FdPassing() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    here_ = FileDescriptor(ends[0]);
    there_ = FileDescriptor(ends[1]);
  }
  ReceivedMessage receive(int flags = 0) { return receive_with_fd(there_.get(), room_, flags); }

  FileDescriptor here_;
  FileDescriptor there_;
  std::array<std::byte, 16> room_{};
};

TEST_F(FdPassing, AMessageWithoutADescriptor) {
  ASSERT_TRUE(send_with_fd(here_.get(), as_bytes("hello"), -1));
  const ReceivedMessage got = receive();
  EXPECT_EQ(got.bytes, 5);
  EXPECT_FALSE(got.truncated);
  EXPECT_FALSE(got.fd);
  EXPECT_EQ(room_[4], std::byte{'o'});
}

TEST_F(FdPassing, ADescriptorComesAlongAndIsTheSameFile) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  FileDescriptor reader(pipe_ends[0]);
  const FileDescriptor writer(pipe_ends[1]);
  ASSERT_TRUE(send_with_fd(here_.get(), as_bytes("pipe"), reader.get()));
  {
    const FileDescriptor closed(std::move(reader));
  }
  const ReceivedMessage got = receive();
  ASSERT_TRUE(got.fd);
  ASSERT_EQ(::write(writer.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(got.fd.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(FdPassing, TellsATruncatedMessageAnEmptySocketAndTheEnd) {
  ASSERT_TRUE(send_with_fd(here_.get(), as_bytes("longer than sixteen bytes"), -1));
  const ReceivedMessage cut = receive();
  EXPECT_EQ(cut.bytes, 16);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(receive(MSG_DONTWAIT).bytes, -1);
  EXPECT_EQ(errno, EAGAIN);
  {
    const FileDescriptor closed(std::move(here_));
  }
  EXPECT_EQ(receive().bytes, 0);
  EXPECT_FALSE(send_with_fd(there_.get(), as_bytes("nobody"), -1));  // and no SIGPIPE
}

}  // namespace
}  // namespace dinomo
