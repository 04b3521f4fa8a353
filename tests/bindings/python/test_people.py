"""Who works on a phone, from Python, against a real server: refused work, the lock, handing a phone on, wiping it. Run by
`tests/bindings/run-python`.

What the rules are is tested in Rust; here, that they arrive.
"""

import os
import time
import unittest

from fengqiao import (
    AttachmentStatusView,
    ConnectOptions,
    DocumentStatusView,
    HostClock,
    HostTime,
    ListFilterInput,
    PhoneLibError,
    PhoneLibrary,
    SharedPhone,
    TransferPolicy,
    wipe_confirm,
)

from world import ADMIN, GRID, KEY, LEAVER, LOGIN, OTHER, PASSWORD, SUPERVISOR, URL, World, ask, desk, picture, text


class Clock(HostClock):
    """The system's clocks, moved on by the test."""

    def __init__(self):
        self.later_ms = 0

    def read(self):
        wall_ms, monotonic_ms = time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
        return HostTime(wall_ms=wall_ms + self.later_ms, monotonic_ms=monotonic_ms + self.later_ms, boot=1)


class Refused(World):
    def test_a_refused_change_is_shown_with_why_and_with_what_was_decided(self):
        phone = self.phone(login=LEAVER)
        case = self.case(phone, "交接之前")
        phone.sync()
        user = phone.identity().user
        charge = {"role": "grid_worker", "area": GRID}
        ask(f"/v1/users/{user}/assignments/end", charge, desk(ADMIN))
        self.addCleanup(lambda: ask(f"/v1/users/{user}/assignments", charge, desk(ADMIN)))
        # What is written in the same second may have been written before.
        time.sleep(1.1)
        phone.add_event(case, "fact_added", {"fact": text("交接之后写的"), "bears_on": text("danger")})
        attached = phone.attach_photo(case, "现场.png", picture())
        self.assertEqual(phone.sync().refused, 2)
        self.assertEqual(phone.document_status(case), DocumentStatusView.REFUSED())
        told = [r for r in phone.refused_changes() if "交接之后写的" in r.words][0]
        self.assertTrue(told.code and told.detail and told.document == case)
        self.assertIsNone(told.decision)
        self.assertFalse(phone.discard_refused(told.hash))
        self.assertFalse(phone.discard_attachment(case, attached.hash))

        token = desk(SUPERVISOR)
        waiting = ask(f"/v1/quarantine?state=waiting&document={case}", token=token)["items"]
        self.assertEqual(len(waiting), 2)
        for entry in waiting:
            state = ask(f"/v1/quarantine/{entry['id']}", token=token)["state"]
            if state == "waiting":
                ask(f"/v1/quarantine/{entry['id']}/dismiss", {"reason": "已交接"}, token)
        phone.sync()
        decided = phone.refused_changes()
        self.assertEqual({(r.decision.accepted, r.decision.reason) for r in decided}, {(False, "已交接")})
        status = phone.attachment_statuses(case)[0].status
        self.assertIsInstance(status, AttachmentStatusView.REFUSED)
        self.assertEqual(status.code, "dismissed")
        self.assertIn("已交接", status.detail)
        self.assertEqual((phone.status().attachments_waiting, phone.status().attachments_refused), (0, 1))
        self.assertTrue(phone.discard_attachment(case, attached.hash))
        self.assertIsNone(phone.attachment_bytes(attached.hash))
        self.assertTrue(all(phone.discard_refused(r.hash) for r in decided))
        self.assertEqual(phone.refused_changes(), [])


class Lock(World):
    def test_a_pin_locks_and_wrong_ones_cost_a_wait_that_grows(self):
        clock = Clock()
        phone = self.phone(clock=clock)
        case = self.case(phone, "锁")
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.set_pin("1234")
        phone.set_pin("271828")
        self.assertTrue(phone.lock_state().has_pin)
        phone.lock()
        with self.assertRaises(PhoneLibError.Locked):
            phone.read_case(case)
        waits = []
        for _ in range(4):
            with self.assertRaises(PhoneLibError.PinWrong) as caught:
                phone.unlock("314159")
            waits.append(caught.exception.after_ms)
            if waits[-1]:
                with self.assertRaises(PhoneLibError.PinWait) as caught:
                    phone.unlock("271828")
                self.assertTrue(0 < caught.exception.after_ms <= waits[-1])
                self.assertTrue(0 < phone.lock_state().wait_ms <= waits[-1])
                clock.later_ms += waits[-1]
        self.assertTrue(waits[0] == 0 and 0 < waits[-2] < waits[-1], waits)
        # Syncing goes on behind the lock.
        phone.sync()
        phone.unlock("271828")
        self.assertEqual(phone.read_case(case).fields["title"], text("锁"))
        clock.later_ms += phone.lock_state().idle_ms
        with self.assertRaises(PhoneLibError.Locked):
            phone.list_cases(ListFilterInput())
        phone.unlock("271828")
        phone.clear_pin("271828")
        self.assertFalse(phone.lock_state().has_pin)


class Shared(World):
    def test_a_phone_is_handed_on_and_back_and_nothing_is_mixed(self):
        shared = SharedPhone.open(os.path.join(self.folder, "shared"), KEY)
        first = shared.sign_in(URL, LOGIN, PASSWORD, "共用手机")
        first.set_pin("271828")
        case = self.case(first, "交班之前")
        attached = first.attach_photo(case, "现场.png", picture())
        second = shared.sign_in(URL, OTHER, PASSWORD, "共用手机")
        with self.assertRaises(PhoneLibError.Locked):
            first.read_case(case)
        with self.assertRaises(PhoneLibError.NotFound):
            second.read_case(case)
        people = {p.login: (p.unsent, p.attachments_waiting, p.has_pin) for p in shared.people()}
        self.assertEqual(people, {LOGIN: (2, 1, True), OTHER: (0, 0, False)})
        left = shared.sync_others()
        self.assertEqual([(p.login, p.unsent, p.attachments_waiting, p.problem) for p in left], [(LOGIN, 0, 1, None)])
        left = shared.sync_others(TransferPolicy())
        self.assertEqual([(p.login, p.unsent, p.attachments_waiting, p.problem) for p in left], [(LOGIN, 0, 0, None)])
        second.sync()
        self.assertIsNotNone(second.fetch_attachment(case, attached.hash, TransferPolicy()))
        with self.assertRaises(PhoneLibError.PinWrong):
            shared.resume(URL, LOGIN, "314159")
        with self.assertRaises(PhoneLibError.NotAllowed):
            shared.resume(URL, OTHER, "271828")
        back = shared.resume(URL, LOGIN, "271828")
        self.assertEqual(back.read_case(case).fields["title"], text("交班之前"))
        with self.assertRaises(PhoneLibError.Locked):
            second.list_cases(ListFilterInput())


class Wiped(World):
    def test_a_phone_that_is_ordered_to_wipe_itself_hands_in_its_words_and_is_gone(self):
        phone, other = self.phone("lost"), self.phone("two", OTHER)
        phone.sync()
        case = self.case(phone, "丢失之前")
        token = desk(SUPERVISOR)
        ask(f"/v1/devices/{phone.identity().device}/wipe", {}, token)
        with self.assertRaises(PhoneLibError.Wiped):
            phone.sync()
        with self.assertRaises(PhoneLibError):
            phone.read_case(case)
        with self.assertRaises(PhoneLibError.Wiped):
            phone.sync()
        other.sync()
        self.assertEqual(other.read_case(case).fields["title"], text("丢失之前"))
        self.assertFalse(os.path.exists(self.path("lost")))
        self.assertTrue(wipe_confirm(self.path("lost"), ConnectOptions()))
        self.assertIsNone(PhoneLibrary.open(self.path("lost"), KEY).identity())


if __name__ == "__main__":
    unittest.main()
