"""Attachments from Python, against a real server: what the host allows, small pictures, room. Run by `tests/bindings/run-python`.

What the rules are is tested in Rust; here, that they arrive.
"""

import os
import threading
import time
import unittest

from fengqiao import (
    AttachmentStatusView,
    CancelToken,
    DocumentStatusView,
    DraftInput,
    PhoneLibError,
    StoragePressure,
    TransferListener,
    TransferPolicy,
)

from world import COMMUNITY, GRID, OTHER, World, picture, recording, text


class Attachments(World):
    def test_a_recording_goes_to_another_phone_with_progress(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "录音")
        sound = recording()
        path = os.path.join(self.folder, "a.m4a")
        with open(path, "wb") as file:
            file.write(sound)
        attached = one.attach_file(case, "录音.m4a", path)
        self.assertEqual((attached.media_type, attached.bytes, attached.location), ("audio/mp4", len(sound), None))
        self.assertIsInstance(one.attachment_statuses(case)[0].status, AttachmentStatusView.ONLY_HERE)
        seen = []

        class Bar(TransferListener):
            def on_transfer(self, progress):
                seen.append(progress.bytes_sent)

        report = one.transfer_attachments(TransferPolicy(), Bar())
        self.assertEqual((report.uploaded, report.waiting), (1, 0))
        self.assertTrue(len(seen) > 3 and seen == sorted(seen) and seen[-1] == len(sound), seen)
        self.assertIsInstance(one.attachment_statuses(case)[0].status, AttachmentStatusView.ON_SERVER)
        two.sync()
        self.assertIsNone(two.attachment_bytes(attached.hash))
        self.assertEqual(two.fetch_attachment(case, attached.hash, TransferPolicy()), sound)
        self.assertEqual(two.attachment_bytes(attached.hash), sound)
        with self.assertRaises(PhoneLibError.NotFound):
            two.fetch_thumbnail(case, attached.hash, 160)

    def test_a_cancelled_run_and_a_file_of_another_kind_say_so(self):
        phone = self.phone()
        case = self.case(phone, "取消")
        with self.assertRaises(PhoneLibError.InvalidInput):
            phone.attach_photo(case, "x.html", b"<html>")
        attached = phone.attach_photo(case, "a.m4a", recording())
        phone.sync()
        cancel = CancelToken()
        cancel.cancel()
        with self.assertRaises(PhoneLibError.Cancelled):
            phone.transfer_attachments(TransferPolicy(), None, cancel)
        self.assertEqual(phone.transfer_attachments(TransferPolicy()).uploaded, 1)
        self.assertEqual(phone.free_attachments(), attached.bytes)
        self.assertIsNone(phone.attachment_bytes(attached.hash))

    def test_what_is_written_during_a_run_goes_between_two_pieces(self):
        phone = self.phone()
        case = self.case(phone, "先文字")
        phone.attach_photo(case, "a.m4a", recording())
        written, seen = [], []
        world = self

        class Writer(TransferListener):
            def on_transfer(self, progress):
                if progress.bytes_sent and not written:
                    written.append(world.case(phone, "途中"))
                if written:
                    seen.append(phone.document_status(written[0]))

        self.assertEqual(phone.transfer_attachments(TransferPolicy(), Writer()).uploaded, 1)
        self.assertEqual(seen[0], DocumentStatusView.ONLY_HERE())
        self.assertTrue(len(seen) > 1 and all(isinstance(s, DocumentStatusView.ON_SERVER) for s in seen[1:]), seen)

    def test_the_policy_says_how_fast_and_over_which_network(self):
        phone = self.phone()
        case = self.case(phone, "限速")
        sound = recording()
        phone.attach_photo(case, "a.m4a", sound)
        report = phone.transfer_attachments(TransferPolicy(is_metered=True))
        self.assertEqual((report.bytes_sent, report.waiting), (0, 1))
        status = phone.status()
        self.assertEqual((status.unsent, status.attachments_waiting), (0, 1))
        self.assertEqual((status.attachments_waiting_bytes, status.attachments_refused), (len(sound), 0))
        begun = time.monotonic()
        policy = TransferPolicy(is_metered=True, metered_ok=True, bytes_per_second=400_000)
        self.assertEqual(phone.transfer_attachments(policy).uploaded, 1)
        self.assertGreater(time.monotonic() - begun, len(sound) / 400_000 - 0.1)
        self.assertEqual(phone.status().attachments_waiting, 0)
        with self.assertRaises(PhoneLibError.InvalidInput) as caught:
            phone.transfer_attachments(TransferPolicy(thumbnail_points=100))
        self.assertEqual(caught.exception.field, "thumbnail_points")

    def test_a_slow_run_that_waits_is_cancelled(self):
        phone = self.phone()
        case = self.case(phone, "很慢")
        phone.attach_photo(case, "a.m4a", recording())
        cancel, raised, moved = CancelToken(), [], threading.Event()

        class Bar(TransferListener):
            def on_transfer(self, progress):
                if progress.bytes_sent:
                    moved.set()

        def run():
            try:
                phone.transfer_attachments(TransferPolicy(bytes_per_second=500), Bar(), cancel)
            except PhoneLibError as error:
                raised.append(error)

        running = threading.Thread(target=run)
        running.start()
        self.assertTrue(moved.wait(60))
        cancel.cancel()
        running.join(20)
        self.assertFalse(running.is_alive())
        self.assertIsInstance(raised[0], PhoneLibError.Cancelled)

    def test_thumbnails_come_ahead_of_need_stay_and_keep_to_their_quota(self):
        one, two = self.phone("one"), self.phone("two", OTHER)
        case = self.case(one, "小图")
        hashes = [one.attach_photo(case, f"{n}.png", picture()).hash for n in range(2)]
        one.transfer_attachments(TransferPolicy())
        two.sync()
        self.assertIsNone(two.thumbnail_bytes(hashes[0], 160))
        ahead = TransferPolicy(thumbnails_ahead=True, thumbnail_points=160)
        metered = TransferPolicy(is_metered=True, thumbnails_ahead=True, thumbnail_points=160)
        self.assertEqual(two.transfer_attachments(metered).thumbnails, 0)
        # Others' pictures of this server may come along.
        self.assertGreaterEqual(two.transfer_attachments(ahead).thumbnails, 2)
        for hash in hashes:
            small = two.thumbnail_bytes(hash, 160)
            self.assertTrue(small.startswith(b"\xff\xd8\xff"))
            self.assertEqual(two.fetch_thumbnail(case, hash, 160), small)
            self.assertIsNone(two.attachment_bytes(hash))
        self.assertGreater(two.storage().thumbnails, 0)
        two.set_thumbnail_quota(0)
        self.assertEqual((two.storage().thumbnails, two.thumbnail_bytes(hashes[0], 160)), (0, None))


class Room(World):
    def test_a_file_that_does_not_fit_is_refused_with_what_to_do(self):
        phone = self.phone()
        case = self.case(phone, "空间")
        room = phone.storage()
        self.assertEqual((room.left, room.pressure, room.attachments), (None, StoragePressure.EASY, 0))
        sound = recording()
        used = room.records + room.empty
        phone.set_storage_room(used + (20 << 20) + len(sound) * 3 // 2)
        self.assertEqual(phone.storage().pressure, StoragePressure.TIGHT)
        first = phone.attach_photo(case, "a.m4a", sound).hash
        with self.assertRaises(PhoneLibError.NoRoom) as caught:
            phone.attach_photo(case, "b.m4a", recording())
        self.assertEqual(caught.exception.bound, "limit")
        self.assertTrue(caught.exception.remedy and caught.exception.needed > caught.exception.fits)
        self.assertEqual(len(phone.read_case(case).attachments), 1)
        phone.transfer_attachments(TransferPolicy())
        self.assertEqual(phone.storage().freeable_attachments, len(sound))
        phone.attach_photo(case, "b.m4a", recording())
        self.assertIsNone(phone.attachment_bytes(first))

    def test_what_the_server_has_is_freed_and_a_record_that_left_is_fetched(self):
        phone = self.phone()
        patrol = phone.create_patrol(DraftInput(community=COMMUNITY, fields={"place.grid": text(GRID)}))
        attached = phone.attach_photo(patrol, "a.m4a", recording())
        phone.add_event(patrol, "patrol_ended", {})
        self.assertEqual(phone.free_up(1 << 40), 0)
        phone.transfer_attachments(TransferPolicy())
        self.assertGreater(phone.free_up(1 << 40), attached.bytes)
        with self.assertRaises(PhoneLibError.RecordAway):
            phone.read_patrol(patrol)
        phone.fetch_record(patrol)
        phone.sync()
        self.assertEqual(phone.read_patrol(patrol).status, "done")
        self.assertIsInstance(phone.attachment_statuses(patrol)[0].status, AttachmentStatusView.ON_SERVER)


if __name__ == "__main__":
    unittest.main()
