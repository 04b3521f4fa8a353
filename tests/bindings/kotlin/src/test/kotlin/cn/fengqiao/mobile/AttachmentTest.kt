/** Attachments from Kotlin, against a real server: what the host allows, small pictures, room. */

package cn.fengqiao.mobile

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class AttachmentTest : World() {
    @Test
    fun `a recording goes to another phone and what is written meanwhile goes between two pieces`() {
        val one = phone("one")
        val two = phone("two", colleague)
        val case = newCase(one, "录音")
        val sound = recording()
        val attached = one.attachPhoto(case, "录音.m4a", sound)
        assertEquals(sound.size.toULong(), one.status().attachmentsWaitingBytes)
        var written: String? = null
        val seen = mutableListOf<DocumentStatusView>()
        val report = one.transferAttachments(TransferPolicy(), object : TransferListener {
            override fun onTransfer(progress: TransferReport) {
                if (progress.bytesSent == 0uL) return
                val id = written ?: newCase(one, "途中").also { written = it }
                seen.add(one.documentStatus(id))
            }
        })
        assertEquals(1uL, report.uploaded)
        assertEquals(DocumentStatusView.OnlyHere, seen.first())
        assertTrue(seen.size > 1 && seen.drop(1).all { it is DocumentStatusView.OnServer }, "$seen")
        two.sync()
        assertArrayEquals(sound, two.fetchAttachment(case, attached.hash, TransferPolicy()))
        listOf(one, two).forEach { it.close() }
    }

    @Test
    fun `the policy says how fast and over which network`() = phone().use { phone ->
        val case = newCase(phone, "限速")
        val sound = recording()
        phone.attachPhoto(case, "a.m4a", sound)
        assertEquals(1uL, phone.transferAttachments(TransferPolicy(isMetered = true)).waiting)
        assertEquals(0uL, phone.status().unsent)
        val begun = System.nanoTime()
        phone.transferAttachments(TransferPolicy(isMetered = true, meteredOk = true, bytesPerSecond = 400_000uL))
        val tookMs = (System.nanoTime() - begun) / 1_000_000
        assertTrue(tookMs > sound.size / 400 - 100, "$tookMs ms")
        assertEquals(0uL, phone.status().attachmentsWaiting)
    }

    @Test
    fun `thumbnails come ahead of need stay and keep to their quota`() {
        val one = phone("one")
        val two = phone("two", colleague)
        val case = newCase(one, "小图")
        val hash = one.attachPhoto(case, "现场.png", picture()).hash
        one.transferAttachments(TransferPolicy())
        two.sync()
        assertNull(two.thumbnailBytes(hash, 160u))
        val ahead = TransferPolicy(thumbnailsAhead = true, thumbnailPoints = 160u)
        assertTrue(two.transferAttachments(ahead).thumbnails >= 1uL)
        val small = requireNotNull(two.thumbnailBytes(hash, 160u))
        assertArrayEquals(small, two.fetchThumbnail(case, hash, 160u))
        assertTrue(two.storage().thumbnails > 0uL)
        two.setThumbnailQuota(0uL)
        assertNull(two.thumbnailBytes(hash, 160u))
        listOf(one, two).forEach { it.close() }
    }

    @Test
    fun `a file that does not fit is refused with what to do and what the server has gives way`() = phone().use { phone ->
        val case = newCase(phone, "空间")
        val sound = recording()
        val room = phone.storage()
        phone.setStorageRoom(room.records + room.empty + (20uL shl 20) + sound.size.toULong() * 3uL / 2uL, null)
        assertEquals(StoragePressure.TIGHT, phone.storage().pressure)
        val first = phone.attachPhoto(case, "a.m4a", sound).hash
        val refused = assertThrows(PhoneLibException.NoRoom::class.java) { phone.attachPhoto(case, "b.m4a", recording()) }
        assertEquals("limit", refused.bound)
        assertTrue(refused.remedy != "" && refused.needed > refused.fits)
        phone.transferAttachments(TransferPolicy())
        phone.attachPhoto(case, "b.m4a", recording())
        assertNull(phone.attachmentBytes(first))
    }

    @Test
    fun `what the server has is freed and a record that left is fetched`() = phone().use { phone ->
        val patrol = phone.createPatrol(DraftInput(community, mapOf("place.grid" to text(grid))))
        val bytes = phone.attachPhoto(patrol, "a.m4a", recording()).bytes
        phone.addEvent(patrol, "patrol_ended", emptyMap())
        assertEquals(0uL, phone.freeUp(1uL shl 40))
        phone.transferAttachments(TransferPolicy())
        assertTrue(phone.freeUp(1uL shl 40) > bytes)
        assertThrows(PhoneLibException.RecordAway::class.java) { phone.readPatrol(patrol) }
        phone.fetchRecord(patrol)
        phone.sync()
        assertEquals("done", phone.readPatrol(patrol).status)
    }
}
