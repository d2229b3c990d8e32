import MeshModel
import MeshPrimitives

/// Builds the radix tree of a virtual host's paths.
struct PathTreeBuilder {
    private final class Node {
        var label: [UInt8]
        var children: [Node] = []
        var exact: [Int32] = []
        var prefix: [Int32] = []
        var separated: [Int32] = []

        init(label: [UInt8]) { self.label = label }
    }

    private let root = Node(label: [])

    /// Routes are inserted in ascending order of their index.
    func insert(_ path: RouteMatch.Path, _ index: Int32) {
        switch path {
        case .prefix(let text): node(for: Array(text.utf8)).prefix.append(index)
        case .exact(let text): node(for: Array(text.utf8)).exact.append(index)
        case .separatedPrefix(let text): node(for: Array(text.utf8)).separated.append(index)
        case .regex, .connect: break
        }
    }

    private func node(for text: [UInt8]) -> Node {
        var node = root
        var rest = text[...]
        while let first = rest.first {
            guard let place = node.children.firstIndex(where: { $0.label[0] == first }) else {
                let leaf = Node(label: Array(rest))
                node.children.append(leaf)
                return leaf
            }
            let child = node.children[place]
            let common = zip(child.label, rest).prefix { $0 == $1 }.count
            if common < child.label.count {
                let middle = Node(label: Array(child.label[..<common]))
                child.label.removeFirst(common)
                middle.children = [child]
                node.children[place] = middle
                node = middle
            } else {
                node = child
            }
            rest = rest.dropFirst(common)
        }
        return node
    }

    /// The nodes with the children of each side by side, and the lists that they refer to.
    func build(in arena: Arena) -> (tree: Table<PathNode>, lists: Table<Int32>) {
        var nodes: [PathNode] = []
        var lists: [Int32] = []
        func range(_ indices: [Int32]) -> IndexRange {
            let start = Int32(lists.count)
            lists += indices
            return IndexRange(start: start, count: Int32(indices.count))
        }
        var queue = [root]
        var next = 0
        while next < queue.count {
            let node = queue[next]
            next += 1
            let children = node.children.sorted { $0.label[0] < $1.label[0] }
            var record = PathNode(label: arena.store(bytes: node.label))
            record.firstChild = Int32(queue.count)
            record.childCount = Int32(children.count)
            record.exact = range(node.exact)
            record.prefix = range(node.prefix)
            record.separated = range(node.separated)
            nodes.append(record)
            queue += children
        }
        return (arena.store(nodes), arena.store(lists))
    }
}
