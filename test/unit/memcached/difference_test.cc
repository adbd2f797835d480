// SPDX-License-Identifier: BSD-3-Clause
// The same commands to the parser and to Debian's memcached, which the test starts: the same
// answers, but for a table of differences, each on purpose.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <regex>

#include "test/unit/memcached/model_store.h"

namespace dinomo::memcached {
namespace {

using namespace std::string_literals;

constexpr const char* kProgram = "/usr/bin/memcached";
// Sent behind each case; its answer says that nothing more comes.
constexpr std::string_view kMark = "mg no-such-key Othat-is-all\r\n";
constexpr std::string_view kMarkReply = "EN Othat-is-all\r\n";

sockaddr_in loopback(uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

/// A port that was free a moment ago.
uint16_t free_port() {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a = loopback(0);
  socklen_t bytes = sizeof a;
  EXPECT_EQ(::bind(s, reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  EXPECT_EQ(::getsockname(s, reinterpret_cast<sockaddr*>(&a), &bytes), 0);
  ::close(s);
  return ntohs(a.sin_port);
}

/// A memcached of the test's own, and one connection to it.
class Memcached {
 public:
  Memcached() : port_(free_port()) {
    const std::string port = std::to_string(port_);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int nothing = ::open("/dev/null", O_WRONLY);
      ::dup2(nothing, STDERR_FILENO);
      ::execl(kProgram, kProgram, "-u", "nobody", "-l", "127.0.0.1", "-p", port.c_str(), "-m", "16",
              static_cast<char*>(nullptr));
      ::_exit(127);
    }
  }
  ~Memcached() {
    if (socket_ >= 0) ::close(socket_);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Memcached(const Memcached&) = delete;
  Memcached& operator=(const Memcached&) = delete;

  bool connect() {
    const sockaddr_in a = loopback(port_);
    for (int i = 0; i < 500; ++i) {
      socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(socket_, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0) return true;
      ::close(socket_);
      socket_ = -1;
      ::usleep(10'000);
    }
    return false;
  }

  /// What it answers, without the mark's answer.
  std::string ask(std::string_view commands) {
    std::string all(commands);
    all += kMark;
    for (size_t sent = 0; sent < all.size();) {
      const ssize_t n = ::send(socket_, all.data() + sent, all.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return "(no connection)";
      sent += static_cast<size_t>(n);
    }
    std::string out;
    pollfd ready{socket_, POLLIN, 0};
    std::array<char, 65536> room;
    while (!out.ends_with(kMarkReply)) {
      if (::poll(&ready, 1, 10'000) <= 0) return out + "(nothing more within 10 s)";
      const ssize_t n = ::recv(socket_, room.data(), room.size(), 0);
      if (n <= 0) return out + "(closed)";
      out.append(room.data(), static_cast<size_t>(n));
    }
    out.resize(out.size() - kMarkReply.size());
    return out;
  }

 private:
  uint16_t port_;
  pid_t pid_ = -1;
  int socket_ = -1;
};

/// Item versions and cas uniques count differently.
std::string without_versions(const std::string& text) {
  static const std::regex kClassic("(VALUE [^ ]+ [0-9]+ [0-9]+) [0-9]+\r\n");
  static const std::regex kMeta("((?:HD|VA)[^\r]* c)[0-9]+");
  return std::regex_replace(std::regex_replace(text, kClassic, "$1 #\r\n"), kMeta, "$1#");
}

class Difference : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kProgram, X_OK) != 0) {
      GTEST_SKIP() << "needs memcached (apt install memcached)";
    }
    if (::geteuid() == 0 && ::getpwnam("nobody") == nullptr) GTEST_SKIP() << "no user nobody";
    theirs_ = std::make_unique<Memcached>();
    ASSERT_TRUE(theirs_->connect());
  }

  std::string ours(std::string_view commands) { return without_versions(ours_.serve(commands)); }
  std::string theirs(std::string_view commands) { return without_versions(theirs_->ask(commands)); }

  ModelStore ours_{static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                             std::chrono::system_clock::now().time_since_epoch())
                                             .count())};
  std::unique_ptr<Memcached> theirs_;
};

const std::string kLongest(250, 'k');
const std::string kTooLong(251, 'k');

TEST_F(Difference, ThereIsNoneInWhatIsServed) {
  const std::vector<std::string> cases = {
      // retrieval
      "get\r\n",
      "gets\r\n",
      "get a\r\n",
      "get a\n",
      " get a\r\n",
      "get  a  b \r\n",
      "GET a\r\n",
      "gett a\r\n",
      "get " + kLongest + "\r\n",
      "get " + kTooLong + "\r\n",
      "get a " + kTooLong + "\r\n",
      "get a\tb\r\n",
      "\r\n",
      "foo\r\n",
      "get \x7f\x01\r\n"s,
      // storage
      "set a 0 0 1\r\nx\r\nget a\r\n",
      "get a a b a\r\n",
      "gets a b\r\n",
      "set a 0 0 1\nx\r\nget a\r\n",
      "set a 12345 0 0\r\n\r\nget a\r\n",
      "set a 0 0 6\r\nx\r\ny\0z\r\nget a\r\n"s,
      "set a 0 0 1 foo\r\nx\r\n",
      "set a 0 0 1 noreply\r\ny\r\nget a\r\n",
      "set a 0 0\r\n",
      "set a 4294967295 0 1\r\nx\r\nget a\r\n",
      "set a 0 0 010\r\n0123456789\r\nget a\r\n",
      "set a 0 +5 1\r\nx\r\n",
      "set " + kLongest + " 1 0 1\r\nx\r\nget " + kLongest + "\r\n",
      "add a 0 0 1\r\nx\r\n",
      "add b1 7 0 2\r\nxx\r\nget b1\r\nadd b1 0 0 1\r\ny\r\n",
      "replace none 0 0 1\r\nx\r\n",
      "replace b1 3 0 3\r\nyyy\r\nget b1\r\n",
      "append none 0 0 1\r\nx\r\n",
      "prepend none 0 0 1\r\nx\r\n",
      "append b1 9 9 1\r\nz\r\nprepend b1 0 0 2\r\nab\r\nget b1\r\n",
      "add b1 0 0 1 noreply\r\nx\r\nget b1\r\n",
      "cas none 0 0 1 5\r\nx\r\n",
      "cas a 0 0 1 18446744073709551615\r\nx\r\n",
      "cas a 0 0 1 1 noreply\r\nx\r\n",
      "cas a 0 0 1\r\n",
      "set a 0 -1 1\r\nx\r\nget a\r\n",
      "add a 0 -1 1\r\nx\r\nget a\r\n",
      "set a 0 0 1\r\nx\r\nreplace a 0 -1 1\r\ny\r\nget a\r\n",
      "set a 0 1000000000 1\r\nx\r\nget a\r\n",
      "set a 0 2147483000 1\r\nx\r\nget a\r\n",
      "set a 0 0 61440\r\n" + std::string(61440, 'v') + "\r\nget a\r\n",
      // counters
      "incr none 1\r\n",
      "decr none 1\r\n",
      "set n 5 0 2\r\n10\r\nincr n 1\r\nget n\r\n",
      "incr n x\r\n",
      "incr n -1\r\n",
      "incr n +1\r\n",
      "incr n\r\n",
      "incr n 1 2\r\n",
      "incr n 1 noreply\r\nget n\r\n",
      "incr n 1 noreply foo\r\n",
      "decr n 100\r\n",
      "incr n 18446744073709551616\r\n",
      "incr n 1x\r\n",
      "set n 0 0 20\r\n18446744073709551615\r\nincr n 1\r\n",
      "set n 0 0 21\r\n184467440737095516160\r\nincr n 1\r\n",
      "set n 0 0 2\r\n-1\r\nincr n 1\r\n",
      "set n 0 0 0\r\n\r\nincr n 1\r\n",
      "set n 0 0 1\r\nx\r\ndecr n 1\r\n",
      "incr " + kTooLong + " 1\r\n",
      // delete, touch
      "delete none\r\n",
      "set d 0 0 1\r\nx\r\ndelete d\r\nget d\r\n",
      "delete d 0\r\n",
      "delete d 1\r\n",
      "delete d noreply\r\n",
      "delete d 0 noreply\r\n",
      "delete\r\n",
      "delete d b c\r\n",
      "delete " + kTooLong + "\r\n",
      "touch none 0\r\n",
      "touch none\r\n",
      "touch none x\r\n",
      "set t 3 0 1\r\nx\r\ntouch t 100\r\nget t\r\n",
      "touch t 0 noreply\r\n",
      "touch t 0 foo\r\n",
      "touch t -1\r\nget t\r\n",
      "gat\r\n",
      "gat x a\r\n",
      "gats 0 none\r\n",
      "set t 3 0 1\r\nx\r\ngat 100 t none t\r\ngats 0 t\r\n",
      "gat -1 t\r\nget t\r\n",
      // the rest
      "verbosity\r\n",
      "verbosity 0\r\n",
      "verbosity x\r\n",
      "verbosity 0 noreply\r\n",
      "verbosity 1 2 3\r\n",
      "verbosity noreply\r\n",
      "flush_all x\r\n",
      "slabs\r\n",
      "lru\r\n",
  };
  for (const std::string& c : cases) EXPECT_EQ(ours(c), theirs(c)) << c.substr(0, 200);
}

TEST_F(Difference, ThereIsNoneInMetaCommands) {
  const std::vector<std::string> cases = {
      "mn\r\n",
      "mn x\r\n",
      "mn\nmn \n",
      "m\r\n",
      "mq\r\n",
      "mgx a\r\n",
      // mg
      "mg\r\n",
      "mg none\r\n",
      "mg none v\r\n",
      "mg none q\r\n",
      "mg none k O1\r\n",
      "set zz 3 0 4\r\naxyz\r\nmg zz\r\nmg zz v\r\nmg zz s v f k t O123 q\r\nmg zz c\r\n",
      "mg zz x\r\n",
      "mg zz E5\r\n",
      "mg zz v v\r\n",
      "mg zz vfoo\r\n",
      "mg zz O\r\n",
      "mg zz O" + std::string(40, '1') + "\r\n",
      "mg  zz  v \r\n",
      "mg zz P/a L1 v u\r\n",
      "mg zz T30 t\r\n",
      "mg zz T0 t\r\nmg zz t\r\n",
      "mg zz T t\r\n",
      "mg zz Tx\r\n",
      "mg !!! b k\r\n",
      "mg ab b v\r\n",
      "mg a b\r\n",
      "mg eno= b v\r\n",
      "mg zz q k\r\n",
      "mg " + kTooLong + " v\r\n",
      "mg zz q v\r\nmg none q v\r\nmn\r\n",
      "mg none b\r\n",
      // ms
      "ms\r\n",
      "ms a\r\n",
      "ms a 1\r\nx\r\nmg a v f t\r\n",
      "ms  a  1  T0 \r\nx\r\n",
      "ms a 1 q\r\nx\r\n",
      "ms a 1 q ME\r\nx\r\n",
      "ms a 1 k O5 c\r\nx\r\n",
      "ms a 1 F7 T60\r\nx\r\nmg a f t v\r\n",
      "ms a 1 F\r\nx\r\n",
      "ms a 1 Tx\r\nx\r\n",
      "ms a 1 ME\r\nx\r\n",
      "ms none 1 MR k\r\nx\r\n",
      "ms none 1 MA\r\nx\r\n",
      "ms none 1 MP\r\nx\r\n",
      "ms a 1 MA\r\ny\r\nms a 1 MP\r\nz\r\nmg a v\r\n",
      "ms a 1 MR\r\ny\r\nmg a v\r\n",
      "ms a 1 MS\r\ny\r\nmg a v\r\n",
      "ms a 1 MX\r\nx\r\n",
      "ms a 1 Me\r\nx\r\n",
      "ms a 1 M\r\nx\r\n",
      "ms a 1 MSfoo\r\nx\r\n",
      "ms a 1 C1 k\r\nx\r\n",
      "ms none 1 C1\r\nx\r\n",
      "ms a 1 Cx\r\nx\r\n",
      "ms eno= 1 b k\r\nx\r\nget zz\r\n",
      "ms a 1 x\r\nx\r\n",
      "ms a 1 s t f v\r\nx\r\n",
      "ms a 1 T-1\r\nx\r\nmg a v\r\n",
      "ms a 1 b\r\nx\r\n",
      "ms YQ== 2 b k c\r\nab\r\nmg YQ== b k v\r\n",
      "ms a 2000000\r\n" + std::string(2'000'000, 'x') + "\r\nmn\r\n",
      "ms none 1 C5 MR\r\nx\r\n",
      "ms none 1 C5 MA\r\nx\r\n",
      "ms a 1\r\nx\r\nms a 1 C5 MA\r\nx\r\n",
      "ms a 1\r\nx\r\nms a 1 C5 MR\r\nx\r\n",
      "ms a 1\r\nx\r\nms a 1 C5 ME\r\nx\r\n",
      // md
      "md\r\n",
      "md none C5\r\n",
      "ms a 1\r\nx\r\nmd a C5 k\r\n",
      "ma none C5\r\n",
      "ma m9 N0 J7 t v\r\nma m9 C5 v\r\n",
      "md none\r\n",
      "md none k O1 q\r\n",
      "ms a 1\r\nx\r\nmd a k O1\r\n",
      "ms a 1\r\nx\r\nmd a q\r\nmd a q\r\n",
      "md a T30\r\n",
      "md a x\r\n",
      "md a q q\r\n",
      // ma
      "ma\r\n",
      "ma none\r\n",
      "ma none q k\r\n",
      "set n 0 0 2\r\n10\r\nma n\r\nma n v\r\nma n v D5 t k O1\r\nma n c\r\n",
      "ma n MI v\r\nma n M+ v\r\nma n M- D300 v\r\nma n MD\r\n",
      "ma n Mi v\r\n",
      "ma n Mx v\r\n",
      "ma n Dx v\r\n",
      "ma n q\r\n",
      "ma n N0 v\r\n",
      "ma m1 N0 J13 v t\r\nma m1 N0 J13 v t\r\n",
      "ma m2 N90 J13 D2 v t\r\n",
      "ma m3 Nx\r\n",
      "ma m3 N0 Jx\r\n",
      "ma m1 J13\r\n",
      "ma m1 s f\r\n",
      "set s 0 0 1\r\nx\r\nma s v q\r\n",
  };
  for (const std::string& c : cases) EXPECT_EQ(ours(c), theirs(c)) << c.substr(0, 200);
}

TEST_F(Difference, IsKnownWhereItIsMeant) {
  struct Case {
    const char* why;
    std::string commands;
    std::string ours;
    std::string theirs;
  };
  const std::vector<Case> cases = {
      {"a value is not carried out", "set a x 0 9\r\nversion\r\n\r\n",
       "CLIENT_ERROR bad command line format\r\n",
       "CLIENT_ERROR bad command line format\r\nVERSION 1.6.18\r\nERROR\r\n"},
      {"nor the rest of one whose length was wrong", "set a 0 0 2\r\nxyz\r\n",
       "CLIENT_ERROR bad data chunk\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n"},
      {"a value that is refused leaves the one before",
       "ms l 1\r\nx\r\nset l 0 0 2000000\r\n" + std::string(2'000'000, 'v') + "\r\nmg l v\r\n",
       "HD\r\nSERVER_ERROR object too large for cache\r\nVA 1\r\nx\r\n",
       "HD\r\nSERVER_ERROR object too large for cache\r\nEN\r\n"},
      {"a number becomes shorter", "set n 0 0 2\r\n10\r\ndecr n 1\r\nget n\r\n",
       "STORED\r\n9\r\nVALUE n 0 1\r\n9\r\nEND\r\n", "STORED\r\n9\r\nVALUE n 0 2\r\n9 \r\nEND\r\n"},
      {"a number is digits only", "set n 0 0 2\r\n1 \r\nincr n 1\r\n",
       "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
       "STORED\r\n2\r\n"},
      {"flags of more than 32 bits are not cut", "set a 4294967296 0 1\r\nx\r\n",
       "CLIENT_ERROR bad command line format\r\n", "STORED\r\n"},
      {"a durable store is not emptied", "flush_all\r\n", std::string(kFlushRefusal), "OK\r\n"},
      {"a key comes back as it was sent", "set zz 0 0 1\r\nx\r\nmg eno= b k\r\n",
       "STORED\r\nHD keno= b\r\n", "STORED\r\nHD kzz\r\n"},
      {"no access is recorded", "mg zz h\r\n",
       "CLIENT_ERROR flag h is not served: no access is recorded\r\n", "HD h1\r\n"},
      {"nobody wins a recache", "mg viv N30 v\r\n",
       "CLIENT_ERROR flag N is not served: nobody wins a recache here\r\n", "VA 0 W\r\n\r\n"},
      {"what is told of an item is so after the command", "ms tt 1 T50\r\nx\r\nmg tt t T90\r\n",
       "HD\r\nHD t90\r\n", "HD\r\nHD t50\r\n"},
      {"a retrieval has a key", "gat 0\r\n", "ERROR\r\n", "END\r\n"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ours(c.commands), c.ours) << c.why;
    EXPECT_EQ(theirs(c.commands), c.theirs) << c.why;
  }
}

}  // namespace
}  // namespace dinomo::memcached
