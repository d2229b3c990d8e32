import MeshPrimitives
import Testing

@Suite("Sparse memory")
struct SparseMemoryTests {
    @Test("Memory from the system is zero and can be written to, to its last byte")
    func zeros() {
        let count = 3 << 12
        let memory = unsafe SparseMemory.allocate(count)
        defer { unsafe SparseMemory.free(memory, count) }
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: memory, count: count)
        #expect(unsafe bytes.allSatisfy { $0 == 0 })
        unsafe bytes[count - 1] = 7
        #expect(unsafe bytes[count - 1] == 7)
    }
}
