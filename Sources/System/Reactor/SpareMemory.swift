import CLinux
import Glibc
import Synchronization

/// Memory that is free: before a large start, and after it.
public enum SpareMemory {
    /// Fewer bytes than these are not worth the trouble.
    private static let readyMin = 4 << 20
    /// A little less than the largest block that malloc(3) may take from its heap (mallopt(3),
    /// `DEFAULT_MMAP_THRESHOLD_MAX`).
    private static let blockMax = 31 << 20
    private static let slack = 64 << 10
    private static let pageSize: UInt = 4096
    private static let ready = Mutex<Range<UInt>?>(nil)

    /// So many bytes are about to be taken by this thread: the heap gets them now and in one piece, and the kernel is
    /// asked for huge pages there, since each small one costs a fault (a fifth of the time that ten thousand clusters
    /// take to be read). What is not used stays untouched. At most 60 MiB.
    public static func makeReady(_ bytes: Int) {
        guard bytes >= readyMin else { return }
        // A block that was mapped and is freed raises the size from which blocks are mapped, up to its own: those that
        // follow, somewhat smaller, come from the heap, and it keeps up to twice as much.
        let size = min(bytes, blockMax)
        unsafe martlet_free(malloc(size))
        guard let first = unsafe malloc(size - slack) else { return }
        let second = unsafe bytes > size ? malloc(min(bytes - size, size - slack)) : nil
        let last = unsafe second ?? first
        let start = UInt(bitPattern: first) & ~(pageSize - 1)
        let end = unsafe (UInt(bitPattern: last) + UInt(malloc_usable_size(last))) & ~(pageSize - 1)
        if start < end, end - start <= UInt(2 * blockMax), advise(start..<end, MADV_HUGEPAGE) {
            ready.withLock { $0 = start..<end }
        }
        unsafe martlet_free(second)
        unsafe martlet_free(first)
    }

    /// Gives back to the system what was freed and lies scattered among what is kept, as after a start: a configuration is
    /// read into many times its size of messages. Takes milliseconds with thousands of clusters, in which no other
    /// thread gets memory: not to be done under load.
    public static func giveBack() {
        _ = malloc_trim(0)
        // Or the kernel would put the pages together again, in time.
        if let range = ready.withLock({ $0.take() }) { _ = advise(range, MADV_NOHUGEPAGE) }
    }

    /// True if it was taken; not every kernel has huge pages.
    private static func advise(_ range: Range<UInt>, _ advice: Int32) -> Bool {
        guard let start = unsafe UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { return false }
        return unsafe madvise(start, Int(range.upperBound - range.lowerBound), advice) == 0
    }
}
