/** Who works on a phone, from Kotlin, against a real server: refused work, the lock, handing a phone on, wiping it. */

package cn.fengqiao.mobile

import java.nio.file.Files
import java.nio.file.Path
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PeopleTest : World() {
    @Test
    fun `a refused change is shown with why and with what was decided`() = phone(login = leaver).use { phone ->
        val case = newCase(phone, "交接之前")
        phone.sync()
        val user = phone.identity()!!.user
        ask("/v1/users/$user/assignments/end", """{"role":"grid_worker","area":"$grid"}""", desk(administrator))
        // What is written in the same second may have been written before.
        Thread.sleep(1_100)
        phone.addEvent(case, "fact_added", mapOf("fact" to text("交接之后写的"), "bears_on" to text("danger")))
        val hash = phone.attachPhoto(case, "现场.png", picture()).hash
        assertEquals(2uL, phone.sync().refused)
        assertEquals(DocumentStatusView.Refused, phone.documentStatus(case))
        val told = phone.refusedChanges().single { "交接之后写的" in it.words }
        assertTrue(told.code != "" && told.detail != "" && told.document == case)
        assertNull(told.decision)
        assertFalse(phone.discardRefused(told.hash))
        val token = desk(supervisor)
        for (id in values(ask("/v1/quarantine?state=waiting&document=$case", token = token), "id")) {
            if (values(ask("/v1/quarantine/$id", token = token), "state").first() == "waiting") {
                ask("/v1/quarantine/$id/dismiss", """{"reason":"已交接"}""", token)
            }
        }
        phone.sync()
        assertTrue(phone.refusedChanges().all { it.decision?.accepted == false && it.decision?.reason == "已交接" })
        val status = phone.attachmentStatuses(case).single().status as AttachmentStatusView.Refused
        assertEquals("dismissed", status.code)
        assertTrue("已交接" in status.detail)
        assertEquals(1uL, phone.status().attachmentsRefused)
        assertTrue(phone.discardAttachment(case, hash))
        assertNull(phone.attachmentBytes(hash))
        assertTrue(phone.refusedChanges().all { phone.discardRefused(it.hash) })
    }

    @Test
    fun `a pin locks and wrong ones cost a wait that grows`() {
        val clock = MovedClock()
        phone(clock = clock).use { phone ->
            val case = newCase(phone, "锁")
            phone.setPin("271828")
            phone.lock()
            assertThrows(PhoneLibException.Locked::class.java) { phone.readCase(case) }
            val waits = (1..4).map {
                val afterMs = assertThrows(PhoneLibException.PinWrong::class.java) { phone.unlock("314159") }.afterMs
                if (afterMs > 0uL) {
                    val wait = assertThrows(PhoneLibException.PinWait::class.java) { phone.unlock("271828") }
                    assertTrue(wait.afterMs in 1uL..afterMs)
                    clock.laterMs += afterMs.toLong()
                }
                afterMs
            }
            assertTrue(waits[0] == 0uL && 0uL < waits[2] && waits[2] < waits[3], "$waits")
            phone.sync()
            phone.unlock("271828")
            assertEquals(text("锁"), phone.readCase(case).fields["title"])
            clock.laterMs += phone.lockState().idleMs.toLong()
            assertThrows(PhoneLibException.Locked::class.java) { phone.listCases(ListFilterInput()) }
        }
    }

    @Test
    fun `a phone is handed on and back and nothing is mixed`() {
        SharedPhone.open(folder.resolve("shared").toString(), key).use { shared ->
            val first = shared.signIn(url, worker, password, "共用手机")
            first.setPin("271828")
            val case = newCase(first, "交班之前")
            val hash = first.attachPhoto(case, "现场.png", picture()).hash
            val second = shared.signIn(url, colleague, password, "共用手机")
            assertThrows(PhoneLibException.Locked::class.java) { first.readCase(case) }
            assertThrows(PhoneLibException.NotFound::class.java) { second.readCase(case) }
            val people = shared.people().associate { it.login to it.attachmentsWaiting }
            assertEquals(mapOf(worker to 1uL, colleague to 0uL), people)
            val words = shared.syncOthers().single()
            assertEquals(listOf(0uL, 1uL), listOf(words.unsent, words.attachmentsWaiting))
            val all = shared.syncOthers(TransferPolicy()).single()
            assertEquals(listOf(0uL, 0uL), listOf(all.unsent, all.attachmentsWaiting))
            assertNull(all.problem)
            second.sync()
            assertNotNull(second.fetchAttachment(case, hash, TransferPolicy()))
            assertThrows(PhoneLibException.PinWrong::class.java) { shared.resume(url, worker, "314159") }
            val back = shared.resume(url, worker, "271828")
            assertEquals(text("交班之前"), back.readCase(case).fields["title"])
            assertThrows(PhoneLibException.Locked::class.java) { second.listCases(ListFilterInput()) }
        }
    }

    @Test
    fun `a phone that is ordered to wipe itself hands in its words and is gone`() {
        val other = phone("two", colleague)
        phone("lost").use { phone ->
            phone.sync()
            val case = newCase(phone, "丢失之前")
            ask("/v1/devices/${phone.identity()!!.device}/wipe", "{}", desk(supervisor))
            assertThrows(PhoneLibException.Wiped::class.java) { phone.sync() }
            assertThrows(PhoneLibException::class.java) { phone.readCase(case) }
            assertThrows(PhoneLibException.Wiped::class.java) { phone.sync() }
            other.sync()
            assertEquals(text("丢失之前"), other.readCase(case).fields["title"])
        }
        assertFalse(Files.exists(Path.of(store("lost"))))
        assertTrue(wipeConfirm(store("lost"), ConnectOptions()))
        PhoneLibrary.open(store("lost"), key).use { assertNull(it.identity()) }
        other.close()
    }
}
