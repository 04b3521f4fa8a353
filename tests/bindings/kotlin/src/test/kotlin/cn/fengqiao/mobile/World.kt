/** What the tests of the bindings share: phones in a folder, a real server, and people who decide at its desks. */

package cn.fengqiao.mobile

import java.awt.image.BufferedImage
import java.io.ByteArrayOutputStream
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.ByteBuffer
import java.nio.file.Path
import javax.imageio.ImageIO
import kotlin.random.Random
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.io.TempDir

private fun env(name: String): String = requireNotNull(System.getenv(name)) { "$name is not set; use run-kotlin" }

internal val url = env("FENGQIAO_SERVER_URL")
internal val worker = env("FENGQIAO_LOGIN")
internal val colleague = env("FENGQIAO_OTHER_LOGIN")
internal val leaver = env("FENGQIAO_LEAVER_LOGIN")
internal val supervisor = env("FENGQIAO_SUPERVISOR_LOGIN")
internal val administrator = env("FENGQIAO_ADMIN_LOGIN")
internal val password = env("FENGQIAO_PASSWORD")
internal val community = env("FENGQIAO_COMMUNITY")
internal val grid = env("FENGQIAO_GRID")
internal val key = ByteArray(32) { it.toByte() }

internal fun text(value: String) = FieldValue.Text(value)

internal fun number(value: Long) = FieldValue.Number(value)

/** A PNG of random points, another one each time. */
internal fun picture(): ByteArray {
    val image = BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB)
    for (x in 0 until 64) for (y in 0 until 64) image.setRGB(x, y, Random.nextInt())
    return ByteArrayOutputStream().also { ImageIO.write(image, "png", it) }.toByteArray()
}

/** An M4A with as many bytes as several pieces on the wire, another one each time. */
internal fun recording(): ByteArray {
    val sound = Random.nextBytes(640_000)
    val head = byteArrayOf(0, 0, 0, 16) + "ftypM4A ".toByteArray() + ByteArray(4)
    return head + ByteBuffer.allocate(4).putInt(sound.size + 8).array() + "mdat".toByteArray() + sound
}

private val client = HttpClient.newHttpClient()

/** What the server answers to somebody at a desk. */
internal fun ask(path: String, body: String? = null, token: String? = null): String {
    val request = HttpRequest.newBuilder(URI(url + path)).header("Content-Type", "application/json")
    token?.let { request.header("Authorization", "Bearer $it") }
    body?.let { request.POST(HttpRequest.BodyPublishers.ofString(it)) }
    val reply = client.send(request.build(), HttpResponse.BodyHandlers.ofString())
    assertTrue(reply.statusCode() in 200..299, "$path: ${reply.statusCode()} ${reply.body()}")
    return reply.body()
}

/** The values of a field wherever it stands in an answer. */
internal fun values(json: String, field: String): List<String> =
    Regex("\"$field\"\\s*:\\s*\"([^\"]*)\"").findAll(json).map { it.groupValues[1] }.toList()

/** The token of somebody at a desk. */
internal fun desk(login: String): String =
    values(ask("/v1/auth/login", """{"login":"$login","password":"$password"}"""), "access_token").single()

/** The system's clocks, moved on by a test. */
internal class MovedClock : HostClock {
    @Volatile var laterMs = 0L

    override fun read() = HostTime(System.currentTimeMillis() + laterMs, System.nanoTime() / 1_000_000 + laterMs, 1uL)
}

/** Phones in a folder that goes away with the test. */
open class World {
    @TempDir lateinit var folder: Path

    protected fun store(name: String) = folder.resolve("$name.db").toString()

    protected fun phone(name: String = "one", login: String = worker, clock: HostClock? = null): PhoneLibrary {
        val phone = PhoneLibrary.open(store(name), key, clock)
        phone.logIn(url, login, password, name)
        return phone
    }

    protected fun newCase(phone: PhoneLibrary, title: String): String = phone.createCase(
        DraftInput(
            community = community,
            fields = mapOf("title" to text(title), "place.grid" to text(grid), "people_involved" to number(23)),
            wording = "二十三名工人要求支付工资。",
        ),
    )
}
