"""Drives the phone library from Python, against a real server. Run by `tests/bindings/run-python`.

What the rules are is tested in Rust; here, that they arrive: values, errors by type, callbacks, threads.
"""

import os
import socket
import threading
import unittest
import urllib.request
import uuid

from fengqiao import (
    CancelToken,
    ChangeListener,
    DocumentStatusView,
    DraftInput,
    EditInput,
    FieldValue,
    HostClock,
    HostTime,
    ListFilterInput,
    PhoneLibError,
    PhoneLibrary,
    RelayFrames,
    SyncListener,
)

from world import COMMUNITY, GRID, KEY, LOGIN, OTHER, PASSWORD, URL, World, number, text

class Store(World):
    def test_another_key_is_refused_and_harms_nothing(self):
        phone = self.phone()
        case = self.case(phone, "欠薪")
        del phone
        with self.assertRaises(PhoneLibError.WrongKey):
            PhoneLibrary.open(self.path("one"), bytes(32))
        self.assertEqual(PhoneLibrary.open(self.path("one"), KEY).read_case(case).fields["title"], text("欠薪"))

    def test_a_key_of_the_wrong_length_is_named(self):
        with self.assertRaises(PhoneLibError.InvalidInput) as caught:
            PhoneLibrary.open(self.path("one"), b"short")
        self.assertEqual(caught.exception.field, "key")

    def test_a_damaged_store_is_kept(self):
        with open(self.path("one"), "wb") as file:
            file.write(b"this is no database" * 1000)
        with self.assertRaises((PhoneLibError.StoreDamaged, PhoneLibError.WrongKey)):
            PhoneLibrary.open(self.path("one"), KEY)
        self.assertEqual(os.path.getsize(self.path("one")), 19_000)

    def test_the_hosts_clock_is_asked(self):
        class Clock(HostClock):
            def read(self):
                return HostTime(wall_ms=1_558_054_800_000, monotonic_ms=1, boot=1)

        phone = PhoneLibrary.open(self.path("one"), KEY, Clock())
        phone.log_in(URL, LOGIN, PASSWORD, "one")
        case = self.case(phone, "钟")
        self.assertEqual(phone.read_case(case).created_ms, 1_558_054_800_000)
        self.assertEqual(phone.read_case(case).timeline[0].claimed_ms, 1_558_054_800_000)


class Editing(World):
    def test_everything_typed_is_there_at_once_and_offline(self):
        phone = self.phone()
        phone.log_out()
        self.assertFalse(phone.identity().logged_in)
        case = self.case(phone, "水利组17-5栋欠薪")
        party = phone.add_party(case, {"name": text("王某"), "represents": number(23)})
        phone.set_field(case, "wage_arrears", FieldValue.FLAG(True))
        phone.edit_text(case, "narrative", "二十三名工人要求支付工资。包工头在场。")
        phone.add_statement(case, {"by": text("王某")}, "工资拖了两个月。")
        phone.add_event(case, "fact_added", {"fact": text("有人情绪激动"), "bears_on": text("danger")})
        view = phone.read_case(case)
        self.assertEqual((view.status, view.level, view.is_open), ("reported", "community", True))
        self.assertEqual(view.fields["people_involved"], number(23))
        self.assertEqual(view.fields["wage_arrears"], FieldValue.FLAG(True))
        self.assertEqual([(p.id, p.fields["name"]) for p in view.parties], [(party, text("王某"))])
        self.assertEqual(view.statements[0].text, "工资拖了两个月。")
        self.assertEqual(view.narrative, "二十三名工人要求支付工资。包工头在场。")
        self.assertEqual([e.kind for e in view.timeline], ["reported", "fact_added"])
        self.assertEqual(view.timeline[1].body["bears_on"], text("danger"))
        self.assertIsNone(view.timeline[0].witness)
        phone.set_field(case, "wage_arrears", FieldValue.EMPTY())
        self.assertNotIn("wage_arrears", phone.read_case(case).fields)

    def test_several_edits_are_one_change_or_none(self):
        phone = self.phone()
        case = self.case(phone, "一次")
        edited = phone.apply(
            case,
            [
                EditInput.SET_FIELD("place.detail", text("三楼")),
                EditInput.ADD_EVENT("guided", {"people": number(23), "to": text("群众诉求服务大厅")}),
            ],
        )
        self.assertTrue(edited.changed)
        self.assertEqual(len(edited.made), 1)
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.apply(case, [EditInput.SET_FIELD("title", text("新")), EditInput.SET_FIELD("nothing", text("x"))])
        self.assertEqual(phone.read_case(case).fields["title"], text("一次"))

    def test_a_patrol_with_checklist_and_hazard(self):
        phone = self.phone()
        patrol = phone.create_patrol(DraftInput(community=COMMUNITY, fields={"place.grid": text(GRID)}))
        phone.answer_checklist(patrol, "exit_clear", "problem", "楼道堆物")
        phone.add_hazard(patrol, {"note": text("电动车楼道充电")})
        phone.add_event(patrol, "patrol_ended", {})
        view = phone.read_patrol(patrol)
        self.assertEqual((view.status, view.problems), ("hazards_open", ["exit_clear"]))
        self.assertEqual(view.fields["checklist.exit_clear.note"], text("楼道堆物"))
        self.assertEqual([r.id for r in phone.list_patrols(ListFilterInput())], [patrol])

    def test_what_does_not_fit_is_an_error_of_its_own_type(self):
        phone = self.phone()
        case = self.case(phone, "错误")
        with self.assertRaises(PhoneLibError.InvalidInput) as caught:
            phone.set_field(case, "people_involved", number(-1))
        self.assertEqual(caught.exception.field, "people_involved")
        self.assertTrue(caught.exception.remedy)
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.add_event(case, "no_such_event", {})
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.add_event(case, "fact_added", {})
        with self.assertRaises(PhoneLibError.NotFound):
            phone.read_case(str(uuid.uuid4()))
        with self.assertRaises(PhoneLibError.NotFound):
            phone.read_case("not an id")
        with self.assertRaises(PhoneLibError.NotAllowed):
            phone.add_event(case, "supervision", {"demand": text("限期")})
        phone.add_event(case, "resolved", {})
        with self.assertRaises(PhoneLibError.Moot) as caught:
            phone.add_event(case, "resolved", {})
        self.assertEqual(caught.exception.kind, "resolved")
        self.assertIn("fact_added", phone.allowed_events(case))
        self.assertNotIn("supervision", phone.allowed_events(case))

    def test_lists_and_search_find_two_characters_of_chinese(self):
        phone = self.phone()
        wanted = self.case(phone, "邻里噪音")
        self.case(phone, "停车")
        self.assertEqual([r.id for r in phone.search("邻里")], [wanted])
        self.assertEqual([r.title for r in phone.list_cases(ListFilterInput(text="停车", limit=10))], ["停车"])
        self.assertEqual(phone.list_cases(ListFilterInput(status="closed")), [])

    def test_countdowns_run_offline(self):
        phone = self.phone()
        case = self.case(phone, "倒计时")
        due = phone.obligations(case)
        self.assertTrue(due)
        self.assertTrue(all(o.outcome == "pending" and o.due_ms > o.started_ms and o.zh for o in due))


class Account(World):
    def test_before_the_first_login_nobody_is_known(self):
        phone = PhoneLibrary.open(self.path("one"), KEY)
        self.assertIsNone(phone.identity())
        with self.assertRaises(PhoneLibError.NotLoggedIn):
            phone.sync()
        with self.assertRaises(PhoneLibError.BadCredentials):
            phone.log_in(URL, LOGIN, "wrong password", "one")
        with self.assertRaises(PhoneLibError.BadCredentials):
            phone.log_in(URL, "nobody", PASSWORD, "one")
        identity = phone.log_in(URL, LOGIN, PASSWORD, "one")
        self.assertTrue(identity.logged_in)
        self.assertEqual(identity.login, LOGIN)
        self.assertEqual([r.role for r in identity.roles], ["station_head"])

    def test_logging_in_again_keeps_the_phone(self):
        phone = self.phone()
        device = phone.identity().device
        phone.log_out()
        self.assertEqual(phone.log_in(URL, LOGIN, PASSWORD, "one").device, device)
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.log_in(URL, OTHER, PASSWORD, "one")
        self.assertEqual(phone.identity().login, LOGIN)

    def test_tokens_can_be_replaced(self):
        phone = self.phone()
        first = phone.authorization_header()
        self.assertTrue(first.startswith("Bearer "))
        self.assertNotEqual(phone.refresh_session(), first)
        phone.sync()

    def test_an_address_is_checked(self):
        phone = PhoneLibrary.open(self.path("one"), KEY)
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.log_in("http://hall.example.cn", LOGIN, PASSWORD, "one")
        with self.assertRaises(PhoneLibError.Offline):
            phone.log_in("http://127.0.0.1:9", LOGIN, PASSWORD, "one")


class Syncing(World):
    def test_a_second_phone_sees_what_the_first_wrote(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "同步")

        class Progress(SyncListener):
            seen = []

            def on_progress(self, progress):
                self.seen.append(progress.requests)
                raise RuntimeError("what a listener throws is its own affair")

        report = one.sync(Progress())
        self.assertEqual(Progress.seen, list(range(1, report.requests + 1)))
        self.assertGreater(report.bytes_sent, 0)
        two.sync()
        view = two.read_case(case)
        self.assertEqual(view.fields["title"], text("同步"))
        self.assertIsNotNone(view.timeline[0].witness)
        self.assertEqual(one.status().unsent, 0)
        self.assertEqual(one.refused_changes(), [])

    def test_a_host_can_carry_the_bytes_itself(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "自带传输")
        endpoint = one.sync_endpoint()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        session = one.sync_session()
        with self.assertRaises(PhoneLibError.AlreadySyncing):
            one.sync()
        while (body := session.next_request()) is not None:
            request = urllib.request.Request(
                endpoint.url,
                data=body,
                headers={"Content-Type": endpoint.media_type, "Authorization": one.authorization_header()},
            )
            session.apply_response(opener.open(request).read())
        del session
        two.sync()
        self.assertEqual(two.read_case(case).fields["title"], text("自带传输"))

    def test_the_status_of_a_record_is_told_at_every_step(self):
        one = self.phone("one")
        case = self.case(one, "状态")
        self.assertEqual(one.document_status(case), DocumentStatusView.ONLY_HERE())
        session = one.sync_session()
        session.next_request()
        self.assertIsInstance(one.document_status(case), DocumentStatusView.ON_ITS_WAY)
        self.assertEqual((one.status().records.on_its_way, one.status().records.only_here), (1, 0))
        session.not_sent()
        self.assertEqual(one.document_status(case), DocumentStatusView.ONLY_HERE())
        del session
        one.sync()
        status = one.status()
        self.assertIsInstance(one.document_status(case), DocumentStatusView.ON_SERVER)
        self.assertEqual((status.records.only_here, status.records.on_its_way, status.records.refused), (0, 0, 0))
        self.assertEqual((status.left_out, status.left_out_count), ([], 0))

    def test_an_answer_that_is_garbage_changes_nothing(self):
        one = self.phone()
        case = self.case(one, "乱码")
        session = one.sync_session()
        session.next_request()
        with self.assertRaises(PhoneLibError.Protocol):
            session.apply_response(b"\x00garbage")
        del session
        one.sync()
        self.assertEqual(one.read_case(case).fields["title"], text("乱码"))

    def conflict(self):
        """Two phones that hold the same case, on which they set one field each by themselves."""
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "冲突")
        one.sync()
        two.sync()
        one.set_field(case, "people_involved", number(25))
        two.set_field(case, "people_involved", number(30))
        two.set_field(case, "place.detail", text("三楼"))
        for phone in (one, two, one):
            phone.sync()
        return one, two, case

    def settle(self, which):
        one, two, case = self.conflict()
        for phone in (one, two):
            view = phone.read_case(case)
            self.assertEqual([c.path for c in view.conflicts], ["people_involved"])
            values = view.conflicts[0].values
            self.assertEqual({v.value.value for v in values}, {25, 30})
            self.assertEqual(values[0].value, view.fields["people_involved"])
            self.assertEqual(view.fields["place.detail"], text("三楼"))
        settled = one.read_case(case).conflicts[0].values[which].value
        one.settle_conflict(case, "people_involved", settled)
        self.assertEqual(one.sync().refused, 0)
        two.sync()
        for phone in (one, two):
            view = phone.read_case(case)
            self.assertEqual((view.conflicts, view.fields["people_involved"]), ([], settled))

    def test_two_values_of_one_field_are_both_kept_until_the_displayed_one_is_chosen(self):
        self.settle(0)

    def test_two_values_of_one_field_are_both_kept_until_the_other_one_is_chosen(self):
        self.settle(1)

    def test_a_sync_can_be_cancelled_and_goes_on_later(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "取消")
        cancelled = CancelToken()
        cancelled.cancel()
        with self.assertRaises(PhoneLibError.Cancelled):
            one.sync(None, cancelled)
        self.assertEqual(one.status().unsent > 0, True)
        one.sync()
        two.sync()
        self.assertEqual(two.read_case(case).fields["title"], text("取消"))

    def test_a_call_that_waits_is_cancelled_and_reading_goes_on_beside_it(self):
        """A server that takes the request and stays silent."""
        phone = PhoneLibrary.open(self.path("mute"), KEY)
        cancel = CancelToken()
        raised = []
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"

            def wait():
                try:
                    phone.log_in(url, LOGIN, PASSWORD, "mute", cancel)
                except PhoneLibError as error:
                    raised.append(error)

            waiting = threading.Thread(target=wait)
            waiting.start()
            connection, _ = silent.accept()
            self.assertIsNone(phone.identity())
            self.assertEqual(phone.list_cases(ListFilterInput()), [])
            self.assertTrue(waiting.is_alive())
            cancel.cancel()
            waiting.join(10)
            connection.close()
        self.assertFalse(waiting.is_alive())
        self.assertIsInstance(raised[0], PhoneLibError.Cancelled)

    def test_relay_by_codes_and_back_by_receipts(self):
        author, carrier = self.phone("one"), self.phone("two", OTHER)
        case = self.case(author, "没有网络")
        codes = [c for p in author.relay_export() for c in author.relay_frames(p, 200)]
        self.assertGreater(len(codes), 1)
        frames = RelayFrames()
        with self.assertRaises(PhoneLibError.Relay) as refused:
            frames.add("https://example.org")
        self.assertEqual(refused.exception.code, "not_a_frame")
        first = frames.add(codes[-1])
        self.assertEqual((first.count, first.missing), (len(codes), list(range(1, len(codes)))))
        self.assertTrue(frames.add(codes[-1]).again)
        parcel = [frames.add(code).whole for code in codes[:-1]][-1]
        self.assertEqual(carrier.relay_import(parcel).parcels_new, 1)
        self.assertEqual(carrier.relay_onward(), [parcel])
        self.assertIsNone(carrier.relay_receipts())
        carrier.sync()
        self.assertEqual(carrier.read_case(case).fields["title"], text("没有网络"))
        self.assertEqual([p.state.name for p in carrier.relay_carried()], ["DELIVERED"])
        self.assertEqual(author.status().unsent, 1)
        self.assertEqual(author.relay_import(carrier.relay_receipts()).acknowledged, 1)
        self.assertEqual(author.status().unsent, 0)

    def test_relay_from_phone_to_phone(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        with self.assertRaises(PhoneLibError.Relay) as refused:
            one.meet_begin()
        self.assertEqual(refused.exception.code, "meet_not_allowed")
        for phone in (one, two):
            phone.meet_allow(True)
        case = self.case(one, "面对面")
        here, there = one.meet_begin(), two.meet_begin()
        names, reports = [], {}
        while len(reports) < 2:
            said = here.outgoing(), there.outgoing()
            self.assertTrue(any(said))
            for meeting, words in ((there, said[0]), (here, said[1])):
                for word in words:
                    state = meeting.receive(word)
                    if state.is_INTRODUCED():
                        names.append(state.peer.name)
                        state = meeting.agree()
                    if state.is_OVER():
                        reports[meeting] = state.report
        self.assertEqual(len(names), 2)
        self.assertEqual((reports[here].given_bundles, reports[there].received), (1, 1))
        self.assertEqual(two.read_case(case).fields["title"], text("面对面"))
        two.sync()
        self.assertEqual(one.sync().sent, 1)
        self.assertTrue(one.meet_forget(two.identity().device))
        with self.assertRaises(PhoneLibError.Relay):
            one.meet_begin().receive(b"nonsense")

    def test_threads_read_and_write_while_others_sync(self):
        phone = self.phone()
        cases = [self.case(phone, f"线程{n}") for n in range(8)]
        errors = []

        def attempt(work):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - every failure of a thread is shown below
                errors.append(error)

        def sync():
            try:
                phone.sync()
            except PhoneLibError.AlreadySyncing:
                pass

        def read_and_write(case):
            for n in range(5):
                phone.set_field(case, "people_involved", number(n))
                assert phone.read_case(case).fields["people_involved"] == number(n)

        works = [sync, sync] + [lambda c=c: read_and_write(c) for c in cases]
        threads = [threading.Thread(target=attempt, args=(w,)) for w in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(errors, [])
        phone.sync()
        self.assertEqual(phone.status().unsent, 0)

    def test_a_screen_is_told_of_changes(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        told = []

        class Screen(ChangeListener):
            def on_changed(self, change):
                # Called without a lock held: it may read at once.
                told.extend(two.read_case(i).fields["title"].value for i in change.documents)

        # What other tests wrote is there already.
        two.sync()
        subscription = two.subscribe(Screen())
        self.case(one, "通知")
        one.sync()
        two.sync()
        self.assertIn("通知", told)
        two.unsubscribe(subscription)
        told.clear()
        self.case(two, "安静")
        self.assertEqual(told, [])


if __name__ == "__main__":
    unittest.main()
