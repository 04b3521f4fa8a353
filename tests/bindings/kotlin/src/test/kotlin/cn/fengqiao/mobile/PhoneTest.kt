/**
 * Drives the phone library from Kotlin, against a real server. Run by `tests/bindings/run-kotlin`.
 *
 * What the rules are is tested in Rust; here, that they arrive: values, errors by type, callbacks, threads.
 */

package cn.fengqiao.mobile

import java.net.ServerSocket
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.util.UUID
import java.util.concurrent.Callable
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PhoneTest : World() {
    @Test
    fun `another key is refused and harms nothing`() {
        val case = phone().use { newCase(it, "欠薪") }
        assertThrows(PhoneLibException.WrongKey::class.java) { PhoneLibrary.open(store("one"), ByteArray(32)) }
        PhoneLibrary.open(store("one"), key).use { assertEquals(text("欠薪"), it.readCase(case).fields["title"]) }
        val short = assertThrows(PhoneLibException.InvalidInput::class.java) { PhoneLibrary.open(store("x"), ByteArray(3)) }
        assertEquals("key", short.field)
    }

    @Test
    fun `everything typed is there at once and offline`() {
        phone().use { phone ->
            phone.logOut()
            assertFalse(phone.identity()!!.loggedIn)
            val case = newCase(phone, "水利组17-5栋欠薪")
            val party = phone.addParty(case, mapOf("name" to text("王某"), "represents" to number(23)))
            phone.setField(case, "wage_arrears", FieldValue.Flag(true))
            phone.editText(case, "narrative", "二十三名工人要求支付工资。包工头在场。")
            phone.addStatement(case, mapOf("by" to text("王某")), "工资拖了两个月。")
            phone.addEvent(case, "fact_added", mapOf("fact" to text("有人情绪激动"), "bears_on" to text("danger")))
            val edited = phone.apply(
                case,
                listOf(
                    EditInput.SetField("place.detail", text("三楼")),
                    EditInput.AddEvent("guided", mapOf("people" to number(23))),
                ),
            )
            assertTrue(edited.changed)
            assertEquals(1, edited.made.size)
            val view = phone.readCase(case)
            assertEquals("reported", view.status)
            assertEquals(listOf(party), view.parties.map { it.id })
            assertEquals("工资拖了两个月。", view.statements.single().text)
            assertEquals("二十三名工人要求支付工资。包工头在场。", view.narrative)
            assertEquals(listOf("reported", "fact_added", "guided"), view.timeline.map { it.kind })
            assertEquals(FieldValue.Flag(true), view.fields["wage_arrears"])
            assertNull(view.timeline.first().witness)
            val countdowns = phone.obligations(case)
            assertTrue(countdowns.any { it.outcome == "pending" } && countdowns.all { it.dueMs >= it.startedMs && it.zh != "" })
            assertEquals(listOf(case), phone.search("王某").map { it.id })
            assertEquals(listOf(case), phone.listCases(ListFilterInput(unsynced = true)).map { it.id })
            assertEquals(DocumentStatusView.OnlyHere, phone.documentStatus(case))
        }
    }

    @Test
    fun `a patrol with checklist and hazard`() {
        phone().use { phone ->
            val patrol = phone.createPatrol(DraftInput(community, mapOf("place.grid" to text(grid))))
            phone.answerChecklist(patrol, "exit_clear", "problem", "楼道堆物")
            phone.addHazard(patrol, mapOf("note" to text("电动车楼道充电")))
            phone.addEvent(patrol, "patrol_ended", emptyMap())
            val view = phone.readPatrol(patrol)
            assertEquals("hazards_open", view.status)
            assertEquals(listOf("exit_clear"), view.problems)
        }
    }

    @Test
    fun `what does not fit is an error of its own type`() {
        phone().use { phone ->
            val case = newCase(phone, "错误")
            val wrong = assertThrows(PhoneLibException.InvalidInput::class.java) {
                phone.setField(case, "people_involved", number(-1))
            }
            assertEquals("people_involved", wrong.field)
            assertThrows(PhoneLibException.NotFound::class.java) { phone.readCase(UUID.randomUUID().toString()) }
            assertThrows(PhoneLibException.NotAllowed::class.java) {
                phone.addEvent(case, "supervision", mapOf("demand" to text("限期")))
            }
            phone.addEvent(case, "resolved", emptyMap())
            assertThrows(PhoneLibException.Moot::class.java) { phone.addEvent(case, "resolved", emptyMap()) }
            assertFalse("supervision" in phone.allowedEvents(case))
        }
        PhoneLibrary.open(store("new"), key).use { phone ->
            assertNull(phone.identity())
            assertThrows(PhoneLibException.NotLoggedIn::class.java) { phone.sync() }
            assertThrows(PhoneLibException.BadCredentials::class.java) { phone.logIn(url, worker, "wrong password", "new") }
            assertThrows(PhoneLibException.Offline::class.java) { phone.logIn("http://127.0.0.1:9", worker, password, "new") }
            assertThrows(PhoneLibException.InvalidInput::class.java) {
                phone.logIn("http://hall.example.cn", worker, password, "new")
            }
        }
    }

    @Test
    fun `a second phone sees what the first wrote`() {
        val one = phone("one")
        val two = phone("two", colleague)
        val told = CopyOnWriteArrayList<String>()
        val subscription = two.subscribe(object : ChangeListener {
            // Called without a lock held: it may read at once.
            override fun onChanged(change: ChangeView) {
                change.documents.forEach { told.add(two.readCase(it).narrative) }
            }
        })
        val case = newCase(one, "同步")
        val seen = mutableListOf<UInt>()
        val report = one.sync(object : SyncListener {
            override fun onProgress(progress: SyncReport) {
                seen.add(progress.requests)
                error("what a listener throws is its own affair")
            }
        })
        assertEquals((1u..report.requests).toList(), seen)
        two.sync()
        val view = two.readCase(case)
        assertEquals(text("同步"), view.fields["title"])
        assertNotNull(view.timeline.first().witness)
        assertTrue(told.contains(view.narrative))
        assertEquals(0uL, one.status().unsent)
        assertTrue(one.documentStatus(case) is DocumentStatusView.OnServer)
        two.unsubscribe(subscription)
        listOf(one, two).forEach { it.close() }
    }

    @Test
    fun `a host can carry the bytes itself`() {
        val one = phone("one")
        val case = newCase(one, "自带传输")
        val endpoint = one.syncEndpoint()
        val client = HttpClient.newHttpClient()
        one.syncSession().use { session ->
            assertThrows(PhoneLibException.AlreadySyncing::class.java) { one.sync() }
            while (true) {
                val body = session.nextRequest() ?: break
                val request = HttpRequest.newBuilder(URI(endpoint.url))
                    .header("Content-Type", endpoint.mediaType)
                    .header("Authorization", one.authorizationHeader())
                    .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                    .build()
                session.applyResponse(client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body())
            }
        }
        assertTrue(one.documentStatus(case) is DocumentStatusView.OnServer)
        one.syncSession().use { session ->
            session.nextRequest()
            assertThrows(PhoneLibException.Protocol::class.java) { session.applyResponse(byteArrayOf(0, 1, 2)) }
        }
        one.sync()
        one.close()
    }

    private fun settle(which: Int) {
        val one = phone("one")
        val two = phone("two", colleague)
        val case = newCase(one, "冲突")
        one.sync()
        two.sync()
        one.setField(case, "people_involved", number(25))
        two.setField(case, "people_involved", number(30))
        two.setField(case, "place.detail", text("三楼"))
        listOf(one, two, one).forEach { it.sync() }
        for (phone in listOf(one, two)) {
            val view = phone.readCase(case)
            assertEquals(listOf("people_involved"), view.conflicts.map { it.path })
            assertEquals(setOf(number(25), number(30)), view.conflicts.single().values.map { it.value }.toSet())
            assertEquals(view.fields["people_involved"], view.conflicts.single().values.first().value)
            assertEquals(text("三楼"), view.fields["place.detail"])
        }
        val settled = one.readCase(case).conflicts.single().values[which].value
        one.settleConflict(case, "people_involved", settled)
        assertEquals(0uL, one.sync().refused)
        two.sync()
        for (phone in listOf(one, two)) {
            val view = phone.readCase(case)
            assertTrue(view.conflicts.isEmpty())
            assertEquals(settled, view.fields["people_involved"])
        }
        listOf(one, two).forEach { it.close() }
    }

    @Test
    fun `two values of one field are both kept until the displayed one is chosen`() = settle(0)

    @Test
    fun `two values of one field are both kept until the other one is chosen`() = settle(1)

    @Test
    fun `a call that waits is cancelled and reading goes on beside it`() {
        val phone = PhoneLibrary.open(store("mute"), key)
        val cancel = CancelToken()
        val pool = Executors.newSingleThreadExecutor()
        ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress()).use { silent ->
            val waiting = pool.submit(Callable {
                assertThrows(PhoneLibException.Cancelled::class.java) {
                    phone.logIn("http://127.0.0.1:${silent.localPort}", worker, password, "mute", cancel)
                }
            })
            silent.accept().use {
                assertNull(phone.identity())
                assertTrue(phone.listCases(ListFilterInput()).isEmpty())
                assertFalse(waiting.isDone)
                cancel.cancel()
                waiting.get(10, TimeUnit.SECONDS)
            }
        }
        pool.shutdown()
        assertThrows(PhoneLibException.Cancelled::class.java) { phone.logIn(url, worker, password, "mute", cancel) }
        phone.close()
    }

    @Test
    fun `threads read and write while another syncs`() {
        phone().use { phone ->
            val cases = (0 until 6).map { newCase(phone, "线程$it") }
            val pool = Executors.newFixedThreadPool(8)
            val works = cases.map { case ->
                Callable {
                    for (n in 0L until 5L) {
                        phone.setField(case, "people_involved", number(n))
                        assertEquals(number(n), phone.readCase(case).fields["people_involved"])
                    }
                }
            } + Callable { phone.sync(); Unit }
            pool.invokeAll(works).forEach { it.get(60, TimeUnit.SECONDS) }
            pool.shutdown()
            phone.sync()
            assertEquals(0uL, phone.status().unsent)
        }
    }
}
