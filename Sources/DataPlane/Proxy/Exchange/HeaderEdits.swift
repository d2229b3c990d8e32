import HTTPModel
import MeshPrimitives
import Telemetry

/// The operator's changes of header fields.
extension Worker {
    /// Which head is edited, and its bytes.
    enum EditedHead {
        case request(ByteView)
        case answer(ByteView)
    }

    /// A change of the level at hand, decided and rendered.
    struct DecidedEdit: BitwiseCopyable {
        let name: ByteView
        let known: FieldName
        let value: ByteView
        let overwrites: Bool
    }

    /// Carries out one list of changes. Within a level fields are removed first; then all values are rendered and all
    /// conditions looked at, before anything is set; then what overwrites is set; then the rest is added.
    mutating func applyEdits(_ list: Int32, _ exchange: ExchangePlace, _ head: EditedHead) {
        let table = shelf.tables(exchange.value.snapshot).edits[Int(list)]
        if table.readsRequest, case .answer = head { recallRequest(exchange) }
        let records = table.records
        if table.isPlain {
            for index in records.indices {
                let edit = records.reference(index)
                edits.add(edit.value.known, edit.value.name, edit.value.value)
            }
            return
        }
        var next = 0
        while next < records.count {
            let level = records[next].level
            var end = next
            while end < records.count, records[end].level == level {
                switch records[end].kind {
                case .remove:
                    edits.drop(records[end].known, records[end].name)
                    edits.removeAdditions(records[end].name)
                case .removeMatching: removeMatching(records[end].nameMatch, exchange, head)
                case .append, .addIfAbsent, .overwrite, .overwriteIfExists: break
                }
                end += 1
            }
            decide(records, next..<end, exchange, head)
            carryOut()
            next = end
        }
    }

    /// Fields whose name matches go, but for those that frame the message or say where it goes.
    private mutating func removeMatching(
        _ match: TextMatchRecord, _ exchange: ExchangePlace, _ head: EditedHead
    ) {
        switch head {
        case .request(let bytes): edits.drop(match, in: exchange.head, bytes, &scratch)
        case .answer(let bytes): edits.drop(match, in: answer, bytes, &scratch)
        }
    }

    private mutating func decide(
        _ records: Table<EditRecord>, _ range: Range<Int>, _ exchange: ExchangePlace, _ head: EditedHead
    ) {
        decidedEdits.removeAll()
        for index in range {
            let edit = records.reference(index)
            if edit.value.kind == .remove || edit.value.kind == .removeMatching { continue }
            var value = edit.value.value
            if let format = edit.value.format { value = render(format, exchange, head) }
            if value.isEmpty, !edit.value.keepsEmpty { continue }
            switch edit.value.kind {
            case .addIfAbsent: if isPresent(edit, in: head, exchange) { continue }
            case .overwriteIfExists: if !isPresent(edit, in: head, exchange) { continue }
            case .append, .overwrite, .remove, .removeMatching: break
            }
            decidedEdits.append(
                DecidedEdit(
                    name: edit.value.name, known: edit.value.known, value: value,
                    overwrites: edit.value.kind == .overwrite || edit.value.kind == .overwriteIfExists))
        }
    }

    private mutating func carryOut() {
        for index in decidedEdits.indices where decidedEdits[index].overwrites {
            let edit = decidedEdits[index]
            edits.set(edit.known, edit.name, edit.value)
        }
        for index in decidedEdits.indices where !decidedEdits[index].overwrites {
            edits.add(decidedEdits[index].name, decidedEdits[index].value)
        }
    }

    private func isPresent(
        _ edit: Reference<EditRecord>, in head: EditedHead, _ exchange: ExchangePlace
    ) -> Bool {
        let (name, known) = (edit.value.name, edit.value.known)
        switch head {
        case .request(let bytes): return edits.value(named: name, known, in: exchange.head, bytes) != nil
        case .answer(let bytes): return edits.value(named: name, known, in: answer, bytes) != nil
        }
    }

    /// Fills `requestEdits`, and `sentPath` if it was rewritten, with what was done to the request.
    mutating func recallRequest(_ exchange: ExchangePlace) {
        let wasSent = exchange.value.attempts > 0
        swap(&edits, &requestEdits)
        edits.reset(dropping: requestDropMask)
        fillRequestEdits(exchange, wasSent: wasSent)
        swap(&edits, &requestEdits)
        sentPath.removeAll()
        if wasSent { _ = upstreamPath(exchange) }
    }

    // MARK: Values

    /// In `scratch`.
    private mutating func render(
        _ format: HeaderValueFormat, _ exchange: ExchangePlace, _ head: EditedHead
    ) -> ByteView {
        let start = scratch.count
        var texts = ExchangeTexts()
        var hasTexts = false
        for index in format.parts.indices {
            switch format.parts[index] {
            case .literal(let bytes): _ = scratch.append(bytes)
            case .field(let asked):
                for place in asked.names.indices {
                    let name = asked.names[place]
                    if name.subject == .status, !asked.ofRequest, case .answer = head {
                        _ = scratch.append(decimal: Int(answer.status))
                        break
                    }
                    guard let value = value(of: name, asked, exchange, head) else { continue }
                    _ = scratch.append(value.prefix(asked.lengthMax))
                    break
                }
            case .operation(let operation):
                if !hasTexts { texts = headerTexts(exchange, withPeer: format.needsPeer, format.needs) }
                hasTexts = true
                renderOperation(operation, exchange, head, texts)
            }
        }
        return scratch.view.dropFirst(start)
    }

    private mutating func renderOperation(
        _ operation: Unowned<AccessLogFormat>, _ exchange: ExchangePlace, _ head: EditedHead,
        _ texts: ExchangeTexts
    ) {
        let upstream = exchange.value.record.upstreamHost
        defer { exchange.value.record.upstreamHost = upstream }
        // Fields of a request do not depend on who gets it.
        if case .request = head { exchange.value.record.upstreamHost = nil }
        var output: [UInt8] = []
        swap(&output, &line)
        output.removeAll(keepingCapacity: true)
        operation.with {
            $0.append(
                exchange.value.record, request: exchange.head, exchange.value.headBytes.view,
                response: MessageHead(), ByteView(""), texts, to: &output)
        }
        output.withByteView { _ = scratch.append($0) }
        swap(&output, &line)
    }

    /// What an operator needs beside the record.
    private mutating func headerTexts(
        _ exchange: ExchangePlace, withPeer: Bool, _ needs: LogNeeds
    ) -> ExchangeTexts {
        var texts = ExchangeTexts()
        if exchange.value.cluster >= 0, let record = clusters[Int(exchange.value.cluster)].record {
            texts.cluster = record.value.name
        }
        texts.route = exchange.route.name
        if exchange.value.host >= 0 {
            texts.virtualHost = exchange.chain.http.routes.hosts[Int(exchange.value.host)].name
        }
        guard withPeer || !needs.isEmpty else { return texts }
        clearPeerTexts()
        if !needs.isEmpty { addRareTexts(exchange, shelf[exchange.value.snapshot], needs, &texts) }
        guard withPeer, let peer = identities[exchange.value.downstream.value.identity] else { return texts }
        texts.downstreamPeerURI = Self.store(names: peer.uriSANs, in: &peerTexts)
        texts.downstreamPeerSubject = peer.subject.withByteView { peerTexts.store($0) }
        return texts
    }

    private func value(
        of name: HeaderValueFormat.Asked.Name, _ asked: HeaderValueFormat.Asked, _ exchange: ExchangePlace,
        _ head: EditedHead
    ) -> ByteView? {
        let requestBytes = exchange.value.headBytes.view
        switch (head, asked.ofRequest) {
        case (.request, false): return nil
        case (.answer(let bytes), false):
            switch name.subject {
            case .status: return nil
            case .field: break
            case .method, .path, .authority, .scheme: return nil
            }
            return edits.value(named: name.text, name.known, in: answer, bytes)
        case (_, true): break
        }
        switch name.subject {
        case .status: return nil
        case .method: return requestBytes[exchange.head.methodToken.range]
        case .scheme: return ByteView(isHTTPS(exchange) ? "https" : "http")
        case .path:
            if case .answer = head, !sentPath.isEmpty { return sentPath.view }
            return requestBytes[exchange.head.path.range]
        case .authority, .field: break
        }
        let known = name.subject == .authority ? FieldName.host : name.known
        let found: ByteView? =
            if case .answer = head {
                requestEdits.value(named: name.text, known, in: exchange.head, requestBytes)
            } else {
                edits.value(named: name.text, known, in: exchange.head, requestBytes)
            }
        if name.subject == .authority, found == nil { return requestBytes[exchange.head.authority.range] }
        return found
    }
}

extension EditList {
    /// In place of all fields of that name.
    mutating func set(_ known: FieldName, _ name: ByteView, _ value: ByteView) {
        drop(known, name)
        removeAdditions(name)
        add(known, name, value)
    }

    mutating func set(_ name: FieldName, _ value: ByteView) { set(name, name.text, value) }

    /// Fields whose name, in lower case, matches. `scratch` keeps the names.
    mutating func drop(
        _ match: TextMatchRecord, in head: borrowing @_addressable MessageHead, _ bytes: ByteView,
        _ scratch: inout PooledBuffer
    ) {
        for index in 0..<head.count {
            let known = head.field(index).name
            if known == .host || known == .contentLength || known.isHopByHop { continue }
            let name = head.name(index, in: bytes)
            let start = scratch.count
            for place in name.indices { _ = scratch.append(name[place].asciiLowercased) }
            if match.matches(scratch.view.dropFirst(start)) {
                drop(known, scratch.view.dropFirst(start))
            } else {
                scratch.truncate(to: start)
            }
        }
        removeAdditions { match.matches($0) }
    }

    /// The value of the first field of that name, as the head is with these changes.
    func value(
        named name: ByteView, _ known: FieldName, in head: borrowing @_addressable MessageHead,
        _ bytes: ByteView
    ) -> ByteView? {
        if known == .other || head.contains(known) {
            for index in 0..<head.count where head.field(index).name == known {
                if known == .other, !head.name(index, in: bytes).equalsIgnoringCase(name) { continue }
                if drops(head.field(index), in: bytes) { continue }
                return head.value(index, in: bytes)
            }
        }
        let wanted = known == .other ? name : known.text
        for index in additions.indices where additions[index].name.equalsIgnoringCase(wanted) {
            return additions[index].value
        }
        return nil
    }
}
