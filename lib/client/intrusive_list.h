// SPDX-License-Identifier: BSD-3-Clause
// Doubly linked list through its members: O(1) removal without knowing the list, no allocation.
#pragma once

namespace dinomo::client {

struct ListNode {
  ListNode* next = this;
  ListNode* prev = this;

  ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const noexcept { return next != this; }
  void unlink() noexcept {
    next->prev = prev;
    prev->next = next;
    next = prev = this;
  }
};

/// A ring of nodes with the list itself as the sentinel. Does not own its members.
class List : private ListNode {
 public:
  bool empty() const noexcept { return !linked(); }
  ListNode* front() const noexcept { return next; }
  const ListNode* end() const noexcept { return this; }
  void push_back(ListNode* node) noexcept {
    node->prev = prev;
    node->next = this;
    prev->next = node;
    prev = node;
  }
  ListNode* pop_front() noexcept {
    ListNode* const node = next;
    node->unlink();
    return node;
  }
  /// Takes all of `other` to the end of this.
  void splice_back(List* other) noexcept {
    if (other->empty()) return;
    other->next->prev = prev;
    other->prev->next = this;
    prev->next = other->next;
    prev = other->prev;
    other->next = other->prev = other;
  }
};

}  // namespace dinomo::client
