// Working memory, aligned to a cache line.
#pragma once

#include <cstddef>
#include <new>

namespace pycnn_cpu {

template <class T> class Buffer {
 public:
  explicit Buffer(long size)
      : memory_(static_cast<T*>(
            ::operator new(std::size_t(size) * sizeof(T), std::align_val_t(64)))) {}
  ~Buffer() { ::operator delete(memory_, std::align_val_t(64)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return memory_; }

 private:
  T* memory_;
};

}  // namespace pycnn_cpu
