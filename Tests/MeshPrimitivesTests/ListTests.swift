import MeshPrimitives
import Testing

@Suite struct ListTests {
    @Test("A plain list keeps order over growing, removing and emptying")
    func plain() {
        var list = PlainList<Int>(minimumCapacity: 1)
        for number in 0..<100 { list.append(number) }
        list.removeAll { $0 % 3 == 0 }
        let kept = list.indices.map { list[$0] }
        #expect(kept == (0..<100).filter { $0 % 3 != 0 })
        list.removeAll()
        list.append(7)
        let (count, first) = (list.count, list[0])
        #expect(count == 1 && first == 7)
    }

    @Test("An owned list frees its elements, and changes them in place")
    func owned() {
        final class Witness {}
        weak var witness: Witness?
        do {
            var list = OwnedList<[Witness]>()
            let element = Witness()
            witness = element
            for _ in 0..<9 { list.append([element]) }
            list[4].append(element)
            let (index, isEmpty) = (list.firstIndex { $0.count == 2 }, list.isEmpty)
            #expect(index == 4 && !isEmpty)
        }
        #expect(witness == nil)
    }
}
