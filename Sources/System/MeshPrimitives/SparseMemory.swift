import Glibc

/// Zeroed memory from the system itself: what is never written to takes no room. Of calloc(3) that is true only as long
/// as it maps blocks of this size; once larger ones have been freed it takes them from the heap, and clears them.
@unsafe public enum SparseMemory {
    /// `count` bytes at the begin of a page; to be given to `free` with their number.
    public static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let memory = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory = unsafe memory, Int(bitPattern: memory) != -1 else { fatalError("out of memory") }
        return unsafe memory
    }

    public static func free(_ memory: UnsafeMutableRawPointer, _ count: Int) {
        _ = unsafe munmap(memory, count)
    }
}
