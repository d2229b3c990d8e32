import MeshPrimitives
import Testing

struct SlabTests {
    @Test("A name finds its record until the record is removed, and never another")
    func generations() {
        var slab = Slab<Int>(capacity: 4)
        let first = slab.insert(1) ?? .none
        let found = (slab.contains(first), slab[first], slab.count)
        #expect(found == (true, 1, 1))
        slab[first] = 2
        let changed = slab[first]
        #expect(changed == 2)
        slab.remove(first)
        let second = slab.insert(3) ?? .none
        let (isStale, isFresh, value) = (!slab.contains(first), slab.contains(second), slab[second])
        #expect(second.index == first.index && second.generation != first.generation)
        #expect(isStale && isFresh && value == 3)
    }

    @Test("Names of nothing find nothing")
    func none() {
        var slab = Slab<Int>(capacity: 100)
        let before = slab.contains(.none)
        let id = slab.insert(1) ?? .none
        let after = slab.contains(.none)
        let wrongGeneration = slab.contains(SlabID(index: id.index, generation: id.generation &+ 1))
        let neverGiven = slab.contains(SlabID(index: id.index + 1, generation: 0))
        #expect(!before && !after && !wrongGeneration && !neverGiven)
        #expect(SlabID.none.isNone && !id.isNone)
    }

    @Test("A full slab refuses, and takes again once there is room")
    func capacity() {
        var slab = Slab<Int>(capacity: 130)
        let ids = (0..<130).compactMap { slab.insert($0) }
        let beyond = slab.insert(0)
        #expect(ids.count == 130 && beyond == nil)
        slab.remove(ids[77])
        let again = slab.insert(1)
        let beyondAgain = slab.insert(0)
        #expect(again?.index == ids[77].index && beyondAgain == nil)
    }

    @Test("A walk by index meets the records in use and no others")
    func walk() {
        var slab = Slab<Int>(capacity: 1000)
        let ids = (0..<200).compactMap { slab.insert($0) }
        for (number, id) in ids.enumerated() where number % 3 == 0 { slab.remove(id) }
        var met: [Int] = []
        for index in 0..<slab.indexEnd {
            if let id = slab.id(at: index) { met.append(slab[id]) }
        }
        #expect(met.sorted() == (0..<200).filter { $0 % 3 != 0 })
        let (before, behind) = (slab.id(at: -1), slab.id(at: slab.indexEnd))
        #expect(before == nil && behind == nil)
    }

    @Test("Random use agrees with a dictionary", arguments: UInt64(0)..<20)
    func model(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var slab = Slab<UInt64>(capacity: 150)
        var (model, names, stale): ([SlabID: UInt64], [SlabID], [SlabID]) = ([:], [], [])
        for _ in 0..<2000 {
            if names.isEmpty || random.below(5) < 3 {
                let value = random.next()
                let id = slab.insert(value)
                #expect((id == nil) == (model.count == 150))
                if let id {
                    #expect(model.updateValue(value, forKey: id) == nil)
                    names.append(id)
                }
            } else {
                let id = names.remove(at: Int(random.below(UInt64(names.count))))
                let value = slab[id]
                #expect(value == model.removeValue(forKey: id))
                slab.remove(id)
                stale.append(id)
            }
            let count = slab.count
            #expect(count == model.count)
        }
        for id in names {
            let value = slab[id]
            #expect(value == model[id])
        }
        for id in stale {
            let isFound = slab.contains(id)
            #expect(!isFound)
        }
    }
}
